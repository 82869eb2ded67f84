package feed

import (
	"bytes"
	"strconv"
	"time"
)

// A stamper reads the moments at which lines begin.
type stamper struct {
	zone *time.Location   // of times that state none
	now  func() time.Time // tells the year where a log leaves it out
}

// forms are the ways in which logs begin their lines with a date, by what tells
// them apart. Each is followed by a space.
var forms = []struct {
	length int // of the part before fractions of a second and a zone
	layout string
}{
	{len("2026-11-22T20:14:26"), "2006-01-02T15:04:05"},
	{len("2026-11-22 20:14:26"), "2006-01-02 15:04:05"},
	{len("22-Nov-2026 20:14:30"), "02-Jan-2006 15:04:05"},
	{len("Nov 22 20:14:26"), "Jan _2 15:04:05"},
}

// cut reads the time at the beginning of a line and returns what follows it:
//
//	[1795378464] …                 Unbound
//	Nov 22 20:14:26 …              syslog (RFC 3164), dnsmasq, Unbound's log-time-ascii
//	2026-11-22T20:14:26.5+00:00 …  ISO 8601, with or without fraction and zone
//	2026-11-22 20:14:26.5 …        the same with a space
//	22-Nov-2026 20:14:30.792 …     BIND
//
// A priority in angle brackets before it is passed over. Without a time the
// present one is taken; bad is true for one that cannot be.
func (s *stamper) cut(line []byte) (t time.Time, rest []byte, bad bool) {
	if len(line) > 2 && line[0] == '<' { // <134>
		if i := bytes.IndexByte(line[:min(len(line), 6)], '>'); i > 0 {
			line = line[i+1:]
		}
	}
	if len(line) > 2 && line[0] == '[' {
		return s.epoch(line)
	}
	for _, form := range forms {
		if len(line) <= form.length || !looksLike(line, form.layout) {
			continue
		}
		t, rest, ok := s.date(line, form.length, form.layout)
		return t, rest, !ok
	}
	return s.now(), line, false
}

// looksLike compares where digits and signs stand, not which.
func looksLike(line []byte, layout string) bool {
	for i := range len(layout) {
		c, want := line[i], layout[i]
		switch {
		case want >= '0' && want <= '9':
			if c < '0' || c > '9' {
				return false
			}
		case want == '_':
			if c != ' ' && (c < '0' || c > '9') {
				return false
			}
		case want >= 'A' && want <= 'z' && want != 'T':
			if c < 'A' || c > 'z' {
				return false
			}
		case c != want:
			return false
		}
	}
	return true
}

// epoch reads "[1795378464] " and "[1795378464.123456] ".
func (s *stamper) epoch(line []byte) (time.Time, []byte, bool) {
	end := bytes.IndexByte(line[:min(len(line), 32)], ']')
	if end < 0 {
		return s.now(), line, false
	}
	t, ok := unixTime(line[1:end])
	if !ok {
		return s.now(), line, false // a bracket of another meaning
	}
	return t, bytes.TrimLeft(line[end+1:], " "), false
}

// maxUnixSeconds is the end of the year 9999.
const maxUnixSeconds = 253402300799

// unixTime reads seconds since 1970 with an optional fraction.
func unixTime(text []byte) (time.Time, bool) {
	whole, fraction, _ := bytes.Cut(text, []byte{'.'})
	seconds, err := strconv.ParseUint(string(whole), 10, 63)
	if err != nil || seconds > maxUnixSeconds || len(fraction) > 9 {
		return time.Time{}, false
	}
	nanos := 0
	for i := range 9 {
		nanos *= 10
		if i >= len(fraction) {
			continue
		}
		if fraction[i] < '0' || fraction[i] > '9' {
			return time.Time{}, false
		}
		nanos += int(fraction[i] - '0')
	}
	return time.Unix(int64(seconds), int64(nanos)).UTC(), true
}

// date reads a date with its fraction and zone, if there are any.
func (s *stamper) date(line []byte, length int, layout string) (t time.Time, rest []byte, ok bool) {
	end := length
	for end < len(line) && end < length+len(".123456789+00:00") && line[end] != ' ' {
		end++
	}
	text, tail := string(line[:length]), string(line[length:end])
	rest = bytes.TrimLeft(line[end:], " ")
	if layout == yearless {
		t, ok = s.inYear(text)
		return t, rest, ok && tail == ""
	}
	if i := bytes.IndexByte([]byte(tail), ','); i == 0 { // ISO 8601 allows a comma
		tail = "." + tail[1:]
	}
	for _, zone := range [...]string{"Z07:00", "-0700"} {
		if t, err := time.Parse(layout+zone, text+tail); err == nil {
			return t.UTC(), rest, true
		}
	}
	t, err := time.ParseInLocation(layout, text+tail, s.zone)
	return t.UTC(), rest, err == nil
}

const yearless = "Jan _2 15:04:05"

// inYear reads a date without a year: the last year in which it is not more than
// a day ahead of now.
func (s *stamper) inYear(text string) (time.Time, bool) {
	now := s.now()
	for year := now.In(s.zone).Year() + 1; year > now.Year()-9; year-- { // 29 February may be long ago
		t, err := time.ParseInLocation("2006 "+yearless, strconv.Itoa(year)+" "+text, s.zone)
		if err == nil && t.Before(now.Add(24*time.Hour)) {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}
