package config

import (
	"io"
	"os"
	"path/filepath"
	"strings"

	"larkspur/engine"
	"larkspur/engine/calendar"
)

// calendars reads the section once the workspace's zone is known, which is theirs
// where they name none.
func (c *Config) calendars(r *reader, n *node) {
	r.named(n, "calendars", func(name string, n *node, path string) {
		c.Calendars[name] = c.hours(r, n, path)
	})
}

func (c *Config) hours(r *reader, n *node, path string) *calendar.Hours {
	zone, text := c.Zone, ""
	var holidays calendar.Holidays
	at := n.at
	r.section(n, path, keys{
		"hours": func(n *node, path string) { at, text = n.at, r.text(n, path) },
		"timezone": func(n *node, path string) {
			if name := r.zone(n, path); name != "" {
				zone, _ = calendar.Zone(name)
			}
		},
		"holidays": func(n *node, path string) { holidays = c.holidays(r, n, path) },
	})
	if text == "" {
		if !r.wrongAt(at) {
			r.problem("error", "value", at, "%s: there are no hours", path).Hint = `want hours: "mon-fri 09:00-17:30"`
		}
		return nil
	}
	h, err := calendar.ParseHours(text, zone, holidays)
	if err != nil {
		e := engine.AsError(err)
		r.problem("error", "value", at, "%s.%s", path, e.Message).Hint = e.Hint
		return nil
	}
	return h
}

// maxHolidaysBytes bounds a list of holidays.
const maxHolidaysBytes = 64 << 10

// holidays reads a list of days, one a line, # comments.
func (c *Config) holidays(r *reader, n *node, path string) (free calendar.Holidays) {
	name := r.text(n, path)
	if name == "" {
		return free
	}
	text, err := readBounded(filepath.Join(c.Dir, filepath.FromSlash(name)), maxHolidaysBytes)
	if !filepath.IsLocal(name) || err != nil {
		r.problem("error", "read", n.at, "%s: %q cannot be read", path, name).Hint = "want a file of the workspace of at most 64 KiB, such as lists/holidays.txt"
		return free
	}
	number := 0
	for line := range strings.Lines(text) {
		number++
		day, _, _ := strings.Cut(line, "#")
		if day = strings.TrimSpace(day); day == "" {
			continue
		}
		if err := free.ParseHoliday(day); err != nil {
			e := engine.AsError(err)
			r.problem("error", "value", engine.Position{File: name, Line: number, Col: 1}, "%s", e.Message).Hint = e.Hint
		}
	}
	return free
}

func readBounded(path string, limit int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = engine.Errorf(engine.Invalid, "%s: larger than %d bytes", path, limit)
	}
	return string(b), err
}
