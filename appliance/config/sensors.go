package config

import (
	"reflect"
	"strconv"

	"larkspur/engine"
)

// Sensor is one entry of `sensors` that this version runs.
type Sensor struct {
	Kind      string // the key of the entry, as in "dns"
	At        engine.Position
	Interface string // of kind dns
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
		"dns":        (*Config).dns,
		"dnstap":     laterSensor("listen"),
		"passivedns": laterSensor("file"),
		"syslog":     laterSensor("listen"),
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

func (c *Config) dns(r *reader, n *node, path string, s Sensor) {
	r.section(n, path, keys{"interface": r.into(&s.Interface)})
	r.required(n, path, "interface")
	for _, other := range c.Sensors {
		if other.Interface == s.Interface && s.Interface != "" {
			r.problem("error", "value", s.At, "%s: interface %q is listened to already", path, s.Interface)
			return
		}
	}
	c.Sensors = append(c.Sensors, s)
}
