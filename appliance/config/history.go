package config

import "larkspur/engine/passivedns"

// maxHistory bounds what the passive DNS memory may be asked to hold.
const maxHistory = 20_000_000

// history reads what the passive DNS memory keeps, beside retention.dns.
func (c *Config) history(r *reader, n *node, path string) {
	r.section(n, path, keys{
		"clients": func(n *node, path string) {
			v, ok := n.value.(bool)
			if !ok {
				r.wrong(n, path, "true or false")
				return
			}
			c.History.Clients = v
		},
		"entries": func(n *node, path string) { c.History.Entries = r.number(n, path, passivedns.MinEntries, maxHistory) },
	})
}

// keepDNS reads how long the passive DNS memory keeps what was not seen again.
func (c *Config) keepDNS(r *reader, n *node, path string) {
	if d := r.span(n, path); d > 0 && d < minRetention {
		r.wrong(n, path, `at least "1d"`)
	} else if d > 0 {
		c.History.Keep = d
	}
}
