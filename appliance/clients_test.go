package appliance

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/capture"
	"larkspur/engine/clients"
	"larkspur/ui/desk"
)

// console answers unifi.clients as builtins/unifi does.
type console struct{ err error }

func (c console) Do(_ context.Context, call *engine.Call) (engine.Result, error) {
	client := func(mac, name, ip string, online bool) engine.Value {
		return engine.Struct{Type: "client", Fields: map[string]engine.Value{"mac": mac, "name": name, "ip": ip, "online": online}}
	}
	if call.Name != "unifi.clients" || call.Connection != "home" || call.Args["all"] != true {
		return engine.Result{}, engine.Errorf(engine.Invalid, "got %+v", call)
	}
	return engine.Result{Value: []engine.Value{
		client("02:00:00:00:00:07", "Living-room TV", "192.0.2.7", true),
		client("02:00:00:00:00:08", "old phone", "192.0.2.7", false), // had the address before
		client("02:00:00:00:00:09", "02:00:00:00:00:09", "192.0.2.9", true),
	}}, c.err
}

// once is a clock of which nobody wakes.
type once struct{ engine.Clock }

func (once) Sleep(context.Context, time.Duration) error { return context.Canceled }

func TestNamesOfUniFi(t *testing.T) {
	known := clients.New(machine{}, nil)
	n := &namer{clients: known, door: console{}, clock: once{machine{}}, connections: func() []string { return []string{"home"} }}
	n.Run(t.Context())
	for address, want := range map[string]string{"192.0.2.7": "Living-room TV", "192.0.2.9": ""} {
		if got := known.Name(netip.MustParseAddr(address), capture.MAC{}); got != want {
			t.Errorf("%s: got %q, want %q", address, got, want)
		}
	}
	if _, tell := n.health(); tell {
		t.Error("a failure is shown that was none")
	}
	n.door = console{err: engine.Errorf(engine.Timeout, "no answer")}
	n.Run(t.Context())
	if c, tell := n.health(); !tell || c.Status != desk.HealthOK || !strings.Contains(c.Message, `UniFi "home" does not tell them: no answer`) {
		t.Errorf("got %+v", c)
	}
}
