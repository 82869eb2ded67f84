package config

import (
	"net/netip"

	"larkspur/engine/capture"
)

// clientNames reads what the owner calls devices, by MAC or address.
func (c *Config) clientNames(r *reader, n *node, path string) {
	for _, e := range r.entries(n, path) {
		key := ""
		if mac, err := capture.ParseMAC(e.key); err == nil {
			key = mac.String()
		} else if addr, err := netip.ParseAddr(e.key); err == nil {
			key = addr.Unmap().WithZone("").String()
		}
		if key == "" {
			r.problem("error", "value", e.at, "%s: got %.60q, want a MAC such as \"02:00:00:00:00:07\" in quotes, or an address such as 192.0.2.7", path, e.key)
			continue
		}
		if name := r.text(e.value, join(path, e.key)); name != "" {
			c.Clients[key] = name
		}
	}
}
