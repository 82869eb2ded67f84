package unifi

import (
	"context"
	"net/http"

	"larkspur/builtins/reach"
	"larkspur/engine"
)

// Types of the results.
const (
	clientType = "unifi.client"
	changeType = "unifi.change"
)

func (m *module) builtins() []reach.Builtin {
	connection := engine.Param{Name: "connection", Kind: "connection", Doc: "a name in connections.unifi; left out where there is one, or one called default"}
	mac := engine.Param{Name: "mac", Kind: "mac", Required: true, Doc: "the client's MAC address"}
	list := []engine.Builtin{
		{
			Signature: engine.Signature{
				Name: "unifi.client", Class: engine.Read,
				Doc: "One client of a UniFi network, online or not; None when it was never seen.",
				Params: []engine.Param{connection,
					{Name: "mac", Kind: "mac", Doc: "its MAC address"},
					{Name: "name", Kind: "text", Doc: "its name in the console or the host name that it gave itself, whatever the case"},
					{Name: "ip", Kind: "text", Doc: "its address, now or when last seen"}},
				Result: "mac, name, hostname, ip, online, blocked, wired, network, ssid, first_seen, last_seen; or None", Type: clientType,
			},
			Do: m.doClient,
		},
		{
			Signature: engine.Signature{
				Name: "unifi.clients", Class: engine.Read,
				Doc: "The clients of a UniFi network that are online now, or all that it knows.",
				Params: []engine.Param{connection,
					{Name: "all", Kind: "bool", Default: engine.MustEncode(false), Doc: "those that are not online, too"}},
				Result: "a list of clients as in unifi.client", Type: clientType,
			},
			Do: m.doClients,
		},
		{
			Signature: engine.Signature{
				Name: "unifi.block", Class: engine.Once, Change: true, Inverse: "unifi.unblock",
				Doc:    "Block a client from a UniFi network, until it is unblocked or the change expires.",
				Params: []engine.Param{connection, mac},
				Result: "mac, name, blocked, changed", Type: changeType,
			},
			Do:    func(ctx context.Context, c *engine.Call) (engine.Result, error) { return m.set(ctx, c, true) },
			Probe: func(ctx context.Context, c *engine.Call) (bool, engine.Result, error) { return m.probe(ctx, c, true) },
		},
		{
			Signature: engine.Signature{
				Name: "unifi.unblock", Class: engine.Once, Change: true, Inverse: "unifi.block",
				Doc:    "Let a blocked client into a UniFi network again.",
				Params: []engine.Param{connection, mac},
				Result: "mac, name, blocked, changed", Type: changeType,
			},
			Do:    func(ctx context.Context, c *engine.Call) (engine.Result, error) { return m.set(ctx, c, false) },
			Probe: func(ctx context.Context, c *engine.Call) (bool, engine.Result, error) { return m.probe(ctx, c, false) },
		},
	}
	out := make([]reach.Builtin, len(list))
	for i, b := range list {
		b.Positional, b.Connection, b.Version = 1, Section, 1
		out[i] = reach.Builtin{Builtin: b, Timeout: maxTimeout, MaxTimeout: maxTimeout, AtOnce: callsAtOnce}
	}
	return out
}

func (m *module) doClient(ctx context.Context, c *engine.Call) (engine.Result, error) {
	w, err := selector(c)
	if err != nil {
		return engine.Result{}, err
	}
	controller, err := m.controller(c)
	if err != nil {
		return engine.Result{}, err
	}
	s, err := controller.find(ctx, w)
	if err != nil || s == nil {
		return engine.Result{}, err
	}
	return engine.Result{Value: s.value()}, nil
}

func (m *module) doClients(ctx context.Context, c *engine.Call) (engine.Result, error) {
	controller, err := m.controller(c)
	if err != nil {
		return engine.Result{}, err
	}
	all, err := controller.everyone(ctx)
	if err != nil {
		return engine.Result{}, err
	}
	list := make([]engine.Value, 0, len(all))
	for _, s := range all {
		if s.online || c.Bool("all", false) {
			list = append(list, s.value())
		}
	}
	return engine.Result{Value: list}, nil
}

// target returns the controller and the client that a change is about.
func (m *module) target(ctx context.Context, c *engine.Call) (*controller, *station, error) {
	mac, err := parseMAC(c.Text("mac"))
	if err != nil {
		return nil, nil, engine.WrapError(engine.Invalid, err, c.Name)
	}
	controller, err := m.controller(c)
	if err != nil {
		return nil, nil, err
	}
	s, err := controller.find(ctx, who{mac: mac})
	if err != nil {
		return nil, nil, err
	}
	if s == nil {
		return nil, nil, engine.Errorf(engine.NotFound, "%s: the controller %s has never seen %s", c.Name, c.Connection, mac).
			WithHint("phones show a random MAC to each network: look the client up in the console")
	}
	return controller, s, nil
}

// set blocks or unblocks. Nothing is sent, and no change is recorded, when it is
// so already.
func (m *module) set(ctx context.Context, c *engine.Call, blocked bool) (engine.Result, error) {
	controller, s, err := m.target(ctx, c)
	if err != nil {
		return engine.Result{}, err
	}
	if s.Blocked == blocked {
		return outcome(c, s, blocked, false), nil
	}
	command := map[string]string{"cmd": "unblock-sta", "mac": s.MAC}
	if blocked {
		command["cmd"] = "block-sta"
	}
	if _, err := controller.call(ctx, http.MethodPost, "cmd/stamgr", command); err != nil {
		return engine.Result{}, err
	}
	return outcome(c, s, blocked, true), nil
}

// probe asks whether a step whose answer was lost did happen. A client that
// somebody else blocked in the same moment counts as blocked by us.
func (m *module) probe(ctx context.Context, c *engine.Call, blocked bool) (bool, engine.Result, error) {
	_, s, err := m.target(ctx, c)
	if err != nil || s.Blocked != blocked {
		return false, engine.Result{}, err
	}
	return true, outcome(c, s, blocked, true), nil
}

func outcome(c *engine.Call, s *station, blocked, changed bool) engine.Result {
	r := engine.Result{Value: engine.Struct{Type: changeType, Fields: map[string]engine.Value{
		"mac": s.MAC, "name": s.label(), "blocked": blocked, "changed": changed,
	}}}
	if !changed {
		return r
	}
	verb, inverse := "unblock", "unifi.block"
	if blocked {
		verb, inverse = "block", "unifi.unblock"
	}
	title := verb + " " + s.MAC + " on " + c.Connection
	if label := s.label(); label != s.MAC {
		title += " (" + label + ")"
	}
	r.Change = &engine.Inverse{Title: title, Builtin: inverse,
		Args: map[string]engine.Value{"connection": c.Connection, "mac": s.MAC}}
	return r
}
