package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"larkspur/engine"
	"larkspur/engine/capture"
	"larkspur/engine/feed"
)

// Sensor is one entry of `sensors` that this version runs.
type Sensor struct {
	Kind string // the key of the entry, as in "dns"
	At   engine.Position
	// Of kind dns. An entry that names several interfaces makes a Sensor of each.
	Interface string
	Ports     []uint16 // nil: those of DNS, mDNS and LLMNR
	RingBytes int      // 0: capture.DefaultRing
	Fanout    int      // readers of the interface; 0: one
	Feed      Feed     // of all other kinds
}

// equal tells whether two entries ask for the same, wherever they stand.
func (s Sensor) equal(o Sensor) bool {
	s.At, o.At = engine.Position{}, engine.Position{}
	return reflect.DeepEqual(s, o)
}

// sensorReader reads the settings of an entry of one kind into s.
type sensorReader func(c *Config, r *reader, n *node, path string, s Sensor)

// sensorKinds are the kinds of sensors, one line each.
func sensorKinds() map[string]sensorReader {
	return map[string]sensorReader{
		"dns":           (*Config).dns,
		feed.Dnstap:     (*Config).dnstap,
		feed.Passivedns: (*Config).queryLog,
		feed.Dnsmasq:    (*Config).queryLog,
		feed.Unbound:    (*Config).queryLog,
		feed.Bind:       (*Config).queryLog,
		feed.Adguard:    (*Config).queryLog,
		"syslog":        laterSensor("listen"),
	}
}

// sensors reads a list of sensors, each one key with its settings.
func (c *Config) sensors(r *reader, n *node, path string) {
	if n.kind != list {
		r.wrong(n, path, "a list, such as - dns: {interface: eth1}")
		return
	}
	for i, item := range n.items {
		path := path + "[" + strconv.Itoa(i) + "]"
		known := keys{}
		for kind, read := range sensorKinds() {
			known[kind] = func(n *node, path string) { read(c, r, n, path, Sensor{Kind: kind, At: item.at}) }
		}
		r.section(item, path, known)
		if len(item.entries) > 1 {
			r.problem("error", "value", item.at, "%s: one entry, one sensor", path).Hint = "begin each with a dash"
		}
	}
}

// laterSensor reads a sensor that a later version runs.
func laterSensor(settings ...string) sensorReader {
	return func(_ *Config, r *reader, n *node, path string, s Sensor) {
		var text string
		known := keys{}
		for _, name := range settings {
			known[name] = r.into(&text)
		}
		r.section(n, path, known)
		r.unused(s.At, path)
	}
}

// dns reads a capture of one network interface or several.
func (c *Config) dns(r *reader, n *node, path string, s Sensor) {
	var interfaces []string
	r.section(n, path, keys{
		"interface": func(n *node, path string) { interfaces = r.oneOrMore(n, path) },
		"ports":     func(n *node, path string) { s.Ports = r.ports(n, path) },
		"ring":      func(n *node, path string) { s.RingBytes = r.size(n, path, capture.MinRing, capture.MaxRing) },
		"fanout":    func(n *node, path string) { s.Fanout = r.number(n, path, 1, capture.MaxFanout) },
	})
	r.required(n, path, "interface")
	for _, name := range interfaces {
		s.Interface = name
		c.addDNS(r, path, s)
	}
}

func (c *Config) addDNS(r *reader, path string, s Sensor) {
	taken := func(other Sensor) bool { return other.Kind == s.Kind && other.Interface == s.Interface }
	switch {
	case s.Interface == "any":
		r.problem("error", "value", s.At, "%s.interface: got \"any\", want names of interfaces", path).Hint =
			"on all of them at once a box that forwards sees each packet twice, and a span port needs promiscuous mode; write interface: [eth0, eth1]"
	case slices.ContainsFunc(c.Sensors, taken):
		r.problem("error", "value", s.At, "%s: interface %q is listened to already", path, s.Interface)
	default:
		c.Sensors = append(c.Sensors, s)
	}
}

// ports reads a list of port numbers.
func (r *reader) ports(n *node, path string) []uint16 {
	if n.kind != list || len(n.items) == 0 || len(n.items) > capture.MaxPorts {
		r.wrong(n, path, fmt.Sprintf("a list of 1 to %d ports, such as [53, 5353, 5355]", capture.MaxPorts))
		return nil
	}
	var ports []uint16
	for i, item := range n.items {
		ports = append(ports, uint16(r.number(item, path+"["+strconv.Itoa(i)+"]", 1, 1<<16-1)))
	}
	return ports
}
