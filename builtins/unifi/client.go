package unifi

import (
	"cmp"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"larkspur/engine"
)

// station is a client as the controller describes it; stat/sta and rest/user
// name things alike, each with its own part of the fields.
type station struct {
	MAC       string  `json:"mac"`
	Name      string  `json:"name"`
	Hostname  string  `json:"hostname"`
	IP        string  `json:"ip"`
	LastIP    string  `json:"last_ip"`
	FixedIP   string  `json:"fixed_ip"`
	SSID      string  `json:"essid"`
	Network   string  `json:"network"`
	LastNet   string  `json:"last_connection_network_name"`
	Wired     bool    `json:"is_wired"`
	Blocked   bool    `json:"blocked"`
	FirstSeen float64 `json:"first_seen"`
	LastSeen  float64 `json:"last_seen"`

	online bool
}

// decodeStations reads a list of clients. A client with a field of an unexpected
// type keeps its other fields; one without a readable MAC is left out.
func decodeStations(data json.RawMessage) ([]station, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, engine.Errorf(engine.Unavailable, "unifi: the list of clients is not a list")
	}
	out := make([]station, 0, len(raw))
	for _, r := range raw {
		var s station
		_ = json.Unmarshal(r, &s) // the fields that fit are set
		mac, err := parseMAC(s.MAC)
		if err != nil {
			continue
		}
		s.MAC = mac
		out = append(out, s)
	}
	return out, nil
}

// parseMAC returns a MAC in lower case with colons. Errors are of kind invalid.
func parseMAC(s string) (string, error) {
	text := strings.TrimSpace(s)
	if len(text) == 12 {
		text = text[0:4] + "." + text[4:8] + "." + text[8:12]
	}
	hw, err := net.ParseMAC(text)
	if err != nil || len(hw) != 6 {
		return "", engine.Errorf(engine.Invalid, "mac: got %.60q, want six pairs of hex digits such as 02:00:00:00:00:07", s)
	}
	return hw.String(), nil
}

func (c *controller) list(ctx context.Context, path string) ([]station, error) {
	data, err := c.call(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	return decodeStations(data)
}

// everyone returns all clients that the controller knows, with those online
// marked. One that is online but in no list of known ones is there too.
func (c *controller) everyone(ctx context.Context) ([]station, error) {
	known, err := c.list(ctx, "rest/user")
	if err != nil {
		return nil, err
	}
	online, err := c.list(ctx, "stat/sta")
	if err != nil {
		return nil, err
	}
	at := make(map[string]int, len(known))
	for i, s := range known {
		at[s.MAC] = i
	}
	for _, s := range online {
		s.online = true
		if i, ok := at[s.MAC]; ok {
			known[i] = merge(known[i], s)
			continue
		}
		known = append(known, s)
	}
	return known, nil
}

// merge takes what a client is now over what is known of it.
func merge(known, now station) station {
	out := now
	out.Name = cmp.Or(now.Name, known.Name)
	out.Hostname = cmp.Or(now.Hostname, known.Hostname)
	out.IP = cmp.Or(now.IP, known.IP)
	out.LastIP = cmp.Or(now.LastIP, known.LastIP)
	out.FixedIP = cmp.Or(now.FixedIP, known.FixedIP)
	out.Network = cmp.Or(now.Network, known.Network)
	out.LastNet = cmp.Or(now.LastNet, known.LastNet)
	out.Blocked = now.Blocked || known.Blocked
	out.FirstSeen = cmp.Or(now.FirstSeen, known.FirstSeen)
	out.LastSeen = max(now.LastSeen, known.LastSeen)
	return out
}

// who selects clients; parts that are empty do not count.
type who struct{ mac, name, ip string }

func (w who) match(s station) bool {
	named := func(n string) bool { return n != "" && strings.EqualFold(n, w.name) }
	return (w.mac == "" || w.mac == s.MAC) &&
		(w.name == "" || named(s.Name) || named(s.Hostname)) &&
		(w.ip == "" || w.ip == s.address())
}

// address is where the client is or was last.
func (s station) address() string { return cmp.Or(s.IP, s.FixedIP, s.LastIP) }

// label is the name that a person would know it by.
func (s station) label() string { return cmp.Or(s.Name, s.Hostname, s.MAC) }

// find returns the client that is meant, nil where there is none. Of several
// with one name the one online counts, then the one seen last.
func (c *controller) find(ctx context.Context, w who) (*station, error) {
	all, err := c.everyone(ctx)
	if err != nil {
		return nil, err
	}
	if s := best(all, w); s != nil {
		return s, nil
	}
	// rest/user leaves out guests on some versions; statistics know them.
	all, err = c.list(ctx, "stat/alluser")
	if err != nil && engine.KindOf(err) == engine.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return best(all, w), nil
}

func best(all []station, w who) *station {
	matches := slices.DeleteFunc(slices.Clone(all), func(s station) bool { return !w.match(s) })
	if len(matches) == 0 {
		return nil
	}
	found := slices.MaxFunc(matches, func(a, b station) int {
		if a.online != b.online {
			if a.online {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.LastSeen, b.LastSeen)
	})
	return &found
}

// value is a client as scripts see it.
func (s station) value() engine.Value {
	ssid := s.SSID
	if !s.online {
		ssid = ""
	}
	return engine.Struct{Type: clientType, Fields: map[string]engine.Value{
		"mac":        s.MAC,
		"name":       s.label(),
		"hostname":   s.Hostname,
		"ip":         textOrNone(s.address()),
		"online":     s.online,
		"blocked":    s.Blocked,
		"wired":      s.Wired,
		"network":    cmp.Or(s.Network, s.LastNet),
		"ssid":       ssid,
		"first_seen": moment(s.FirstSeen),
		"last_seen":  moment(s.LastSeen),
	}}
}

func textOrNone(s string) engine.Value {
	if s == "" {
		return nil
	}
	return s
}

// moment reads seconds since 1970; none for what is no sensible moment.
func moment(seconds float64) engine.Value {
	if !(seconds > 0 && seconds < 1e11) {
		return nil
	}
	return time.Unix(int64(seconds), 0).UTC()
}

// selector reads mac, name and ip of a call.
func selector(c *engine.Call) (w who, err error) {
	if given := c.Text("mac"); given != "" {
		if w.mac, err = parseMAC(given); err != nil {
			return w, engine.WrapError(engine.Invalid, err, c.Name)
		}
	}
	if given := c.Text("ip"); given != "" {
		addr, err := netip.ParseAddr(given)
		if err != nil {
			return w, engine.Errorf(engine.Invalid, "%s: ip: got %.60q, want an address", c.Name, given)
		}
		w.ip = addr.Unmap().String()
	}
	w.name = c.Text("name")
	if w == (who{}) {
		return w, engine.Errorf(engine.Invalid, "%s: none of mac, name and ip is given", c.Name).
			WithHint("say which client, for example mac = \"02:00:00:00:00:07\"")
	}
	return w, nil
}
