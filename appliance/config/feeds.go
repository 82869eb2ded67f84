package config

import (
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"larkspur/builtins/settings"
	"larkspur/engine"
	"larkspur/engine/feed"
)

// Feed says where DNS comes from that other programs saw.
type Feed struct {
	File   string // of a log, as an absolute path
	Zone   string // of times in it that state none; "": the workspace's
	Fields string // of passivedns, as its -f
	// Separator is that of passivedns, as its -d.
	Separator string
	// Listen, Mode, Group and Messages are those of dnstap (feed.Socket).
	Listen   string
	Mode     fs.FileMode
	Group    string
	Messages []string
}

// Name is what events of the sensor have as their source.
func (s Sensor) Name() string {
	switch {
	case s.Interface != "":
		return s.Interface
	case s.Feed.Listen != "":
		return s.Feed.Listen
	}
	return s.Feed.File
}

// dnstap reads a socket that resolvers send to.
func (c *Config) dnstap(r *reader, n *node, path string, s Sensor) {
	r.section(n, path, keys{
		"listen":   func(n *node, path string) { s.Feed.Listen = r.socket(n, path) },
		"mode":     func(n *node, path string) { s.Feed.Mode = r.mode(n, path) },
		"group":    r.into(&s.Feed.Group),
		"messages": func(n *node, path string) { s.Feed.Messages = r.families(n, path) },
	})
	r.required(n, path, "listen")
	if strings.HasPrefix(s.Feed.Listen, "tcp:") && (s.Feed.Mode != 0 || s.Feed.Group != "") {
		r.problem("error", "value", s.At, "%s: mode and group are those of a unix: socket", path)
	}
	c.addFeed(r, path, s)
}

// socket reads unix:PATH or tcp://HOST:PORT.
func (r *reader) socket(n *node, path string) string {
	const want = `unix:/run/larkspur/dnstap.sock, or tcp://127.0.0.1:6000`
	text := r.text(n, path)
	if file, unix := strings.CutPrefix(text, "unix:"); unix {
		if filepath.IsAbs(file) {
			return text
		}
	} else if address, tcp := strings.CutPrefix(text, "tcp://"); tcp {
		host, port, err := net.SplitHostPort(address)
		number, bad := strconv.ParseUint(port, 10, 16)
		if err == nil && bad == nil && number > 0 && host != "" {
			return text
		}
	}
	if text != "" {
		r.wrong(n, path, want)
	}
	return ""
}

// mode reads permissions, as in "0660".
func (r *reader) mode(n *node, path string) fs.FileMode {
	text, _ := n.value.(string)
	mode, err := strconv.ParseUint(text, 8, 9)
	if err != nil || mode == 0 {
		r.wrong(n, path, `permissions in quotes, such as "0660"`)
		return 0
	}
	return fs.FileMode(mode)
}

// families reads names of kinds of dnstap messages.
func (r *reader) families(n *node, path string) []string {
	names := r.oneOrMore(n, path)
	for _, name := range names {
		if !slices.Contains(feed.Families, name) {
			r.problem("error", "value", n.at, "%s: got %.60q, want %s", path, name, orList(feed.Families)).Hint = settings.Suggest(name, feed.Families)
			return nil
		}
	}
	return names
}

// queryLog reads the log of another program.
func (c *Config) queryLog(r *reader, n *node, path string, s Sensor) {
	known := keys{
		"file":     func(n *node, path string) { s.Feed.File = r.absolute(n, path) },
		"timezone": func(n *node, path string) { s.Feed.Zone = r.zone(n, path) },
	}
	if s.Kind == feed.Passivedns {
		known["fields"], known["separator"] = r.into(&s.Feed.Fields), r.into(&s.Feed.Separator)
	}
	if s.Kind == feed.Adguard { // its times have zones
		delete(known, "timezone")
	}
	r.section(n, path, known)
	r.required(n, path, "file")
	format := feed.Format{Kind: s.Kind, Fields: s.Feed.Fields, Separator: s.Feed.Separator}
	if err := format.Check(); err != nil {
		r.problem("error", "value", r.at[path+".fields"], "%s.%s", path, err).Hint = engine.AsError(err).Hint
	}
	c.addFeed(r, path, s)
}

// absolute reads the path of a file.
func (r *reader) absolute(n *node, path string) string {
	text := r.text(n, path)
	if text != "" && !filepath.IsAbs(text) {
		r.wrong(n, path, "an absolute path, such as /var/log/pihole/pihole.log")
		return ""
	}
	return filepath.Clean(text)
}

func (c *Config) addFeed(r *reader, path string, s Sensor) {
	taken := func(other Sensor) bool { return other.Name() == s.Name() }
	switch {
	case s.Feed.File == "" && s.Feed.Listen == "": // said already
	case slices.ContainsFunc(c.Sensors, taken):
		r.problem("error", "value", s.At, "%s: %q is another sensor's already", path, s.Name())
	default:
		c.Sensors = append(c.Sensors, s)
	}
}
