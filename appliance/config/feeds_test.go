package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestFeeds(t *testing.T) {
	c, problems := Load(workspace(t, map[string]string{WorkspaceFile: `sensors:
  - dnstap: {listen: unix:/run/larkspur/dnstap.sock, mode: "0660", group: unbound, messages: [client, auth, forwarder]}
  - dnstap: {listen: tcp://127.0.0.1:6000, messages: client}
  - passivedns: {file: /var/log/passivedns.log, fields: SMcsCQTAtnw, separator: "|"}
  - dnsmasq: {file: /var/log/pihole/pihole.log, timezone: Europe/London}
  - unbound: {file: /var/log/unbound.log}
  - bind: {file: /var/log/named/query.log}
  - adguard: {file: /opt/AdGuardHome/data/querylog.json}
`}))
	if len(problems) > 0 {
		t.Fatalf("got %q", lines(problems))
	}
	var names []string
	var feeds []Feed
	for _, s := range c.Sensors {
		names, feeds = append(names, s.Kind+" "+s.Name()), append(feeds, s.Feed)
	}
	wantNames := []string{
		"dnstap unix:/run/larkspur/dnstap.sock", "dnstap tcp://127.0.0.1:6000", "passivedns /var/log/passivedns.log", "dnsmasq /var/log/pihole/pihole.log",
		"unbound /var/log/unbound.log", "bind /var/log/named/query.log", "adguard /opt/AdGuardHome/data/querylog.json",
	}
	if !reflect.DeepEqual(names, wantNames) {
		t.Errorf("got %q, want %q", names, wantNames)
	}
	want := []Feed{
		{Listen: "unix:/run/larkspur/dnstap.sock", Mode: 0o660, Group: "unbound", Messages: []string{"client", "auth", "forwarder"}},
		{Listen: "tcp://127.0.0.1:6000", Messages: []string{"client"}},
		{File: "/var/log/passivedns.log", Fields: "SMcsCQTAtnw", Separator: "|"},
		{File: "/var/log/pihole/pihole.log", Zone: "Europe/London"},
	}
	if !reflect.DeepEqual(feeds[:len(want)], want) {
		t.Errorf("got %+v, want %+v", feeds[:len(want)], want)
	}
}

func TestProblemsOfFeeds(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"dnstap: {}", `larkspur.yaml:2:5: error: sensors[0].dnstap.listen: missing`},
		{"dnstap: {listen: /run/x.sock}", `larkspur.yaml:2:22: error: sensors[0].dnstap.listen: got "/run/x.sock", want unix:/run/larkspur/dnstap.sock, or tcp://127.0.0.1:6000`},
		{"dnstap: {listen: unix:x.sock}", `larkspur.yaml:2:22: error: sensors[0].dnstap.listen: got "unix:x.sock", want unix:/run/larkspur/dnstap.sock, or tcp://127.0.0.1:6000`},
		{"dnstap: {listen: tcp://:6000}", `larkspur.yaml:2:22: error: sensors[0].dnstap.listen: got "tcp://:6000", want unix:/run/larkspur/dnstap.sock, or tcp://127.0.0.1:6000`},
		{"dnstap: {listen: unix:/x.sock, mode: 0660}", `larkspur.yaml:2:42: error: sensors[0].dnstap.mode: got 432, want permissions in quotes, such as "0660"`},
		{"dnstap: {listen: tcp://127.0.0.1:6000, group: unbound}", `larkspur.yaml:2:5: error: sensors[0].dnstap: mode and group are those of a unix: socket`},
		{"dnstap: {listen: tcp://127.0.0.1:6000, messages: [clients]}", `larkspur.yaml:2:54: error: sensors[0].dnstap.messages: got "clients", want auth, resolver, client, forwarder, stub, tool or update (did you mean "client"?)`},
		{"dnstap: {lisen: tcp://127.0.0.1:6000}", "larkspur.yaml:2:5: error: sensors[0].dnstap.listen: missing\n" + `larkspur.yaml:2:14: error: sensors[0].dnstap.lisen: unknown key (did you mean "listen"?)`},
		{"passivedns: {file: log}", `larkspur.yaml:2:24: error: sensors[0].passivedns.file: got "log", want an absolute path, such as /var/log/pihole/pihole.log`},
		{"passivedns: {file: /log, fields: SMc}", `larkspur.yaml:2:30: error: sensors[0].passivedns.fields: "SMc" lacks the letter 'Q': client, query, type and answer (cQTA) must be there`},
		{"unbound: {file: /log, fields: SMc}", `larkspur.yaml:2:27: error: sensors[0].unbound.fields: unknown key`},
		{"adguard: {file: /log, timezone: UTC}", `larkspur.yaml:2:27: error: sensors[0].adguard.timezone: unknown key`},
		{"bind: {file: /log, timezone: Londn}", `larkspur.yaml:2:34: error: sensors[0].bind.timezone: got "Londn", want a name of the IANA database`},
		{"pihole: {file: /log}", `larkspur.yaml:2:5: error: sensors[0].pihole: unknown key`},
		{"bind: {file: /log}\n  - unbound: {file: /log}", `larkspur.yaml:3:5: error: sensors[1].unbound: "/log" is another sensor's already`},
	} {
		_, problems := Load(workspace(t, map[string]string{WorkspaceFile: "sensors:\n  - " + c.text + "\n"}))
		if got := strings.Join(lines(problems), "\n"); !strings.HasPrefix(got, c.want) || strings.Count(got, "\n") != strings.Count(c.want, "\n") {
			t.Errorf("%s:\ngot  %s\nwant %s", c.text, got, c.want)
		}
	}
}

func TestClients(t *testing.T) {
	c, problems := Load(workspace(t, map[string]string{WorkspaceFile: "clients:\n  \"02:00:00:00:00:AB\": living-room TV\n  192.0.2.53: the resolver\n  2001:db8::7: a phone\n"}))
	want := map[string]string{"02:00:00:00:00:ab": "living-room TV", "192.0.2.53": "the resolver", "2001:db8::7": "a phone"}
	if len(problems) > 0 || !reflect.DeepEqual(c.Clients, want) {
		t.Errorf("got %v, %q", c.Clients, lines(problems))
	}
	_, problems = Load(workspace(t, map[string]string{WorkspaceFile: "clients:\n  tv: living-room TV\n  192.0.2.7: 5\n"}))
	wantLines := []string{
		`larkspur.yaml:2:3: error: clients: got "tv", want a MAC such as "02:00:00:00:00:07" in quotes, or an address such as 192.0.2.7`,
		"larkspur.yaml:3:14: error: clients.192.0.2.7: got 5, want a text",
	}
	if got := lines(problems); !reflect.DeepEqual(got, wantLines) {
		t.Errorf("got %q, want %q", got, wantLines)
	}
}
