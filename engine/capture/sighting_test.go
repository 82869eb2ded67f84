package capture

import (
	"fmt"
	"testing"

	"larkspur/engine"
	"larkspur/engine/capture/capturetest"
)

func TestSight(t *testing.T) {
	l := capturetest.Lookup{
		Time: start, ID: 1, Client: client, Server: server, Name: "WWW.Example.org", Type: "A", Rcode: "NXDOMAIN",
		Answers: []string{"www.example.org. 60 IN CNAME Web.example.net.", "web.example.net. 60 IN A 192.0.2.80", "web.example.net. 60 IN AAAA 2001:db8::80"},
	}
	messages, _ := decode(LinkEthernet, l.QueryFrame(), l.ResponseFrame())
	var s engine.Sighting
	for i, want := range []string{
		"www.example.org 1 false udp 192.0.2.7 [2 0 0 0 0 7]: 0 [] []",
		"www.example.org 1 true udp 192.0.2.7 [2 0 0 0 0 7]: 3 [192.0.2.80 2001:db8::80] [web.example.net]",
	} {
		messages[i].Sight(&s)
		var targets []string
		for n := range s.Targets().Len() {
			targets = append(targets, string(s.Targets().At(n)))
		}
		got := fmt.Sprintf("%s %d %v %s %s %d: %d %v %v", s.Name, s.Type, s.Response, s.Proto, s.Client, s.ClientMAC, s.Rcode(), s.Addresses(), targets)
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { messages[1].Sight(&s); s.Rcode(); s.Addresses(); s.Targets() }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}
