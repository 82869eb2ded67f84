package config

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
)

// workspace writes files into a new folder.
func workspace(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func lines(problems []engine.Problem) []string {
	var out []string
	for _, p := range problems {
		line := fmt.Sprintf("%s:%d:%d: %s: %s", p.File, p.Line, p.Col, p.Severity, p.Message)
		if p.Hint != "" {
			line += " (" + p.Hint + ")"
		}
		out = append(out, line)
	}
	return out
}

// whole is the example of LANGUAGE section 6, complete.
const whole = `# larkspur.yaml: from git
name: home
timezone: Europe/London
people:
  dave: {email: dave@example.org, role: admin, notify: [email, push]}
  ana:  {email: ana@example.org, role: responder}
teams: {family: [dave, ana]}
calendars: {office: {hours: "mon-fri 09:00-17:30", timezone: Europe/London, holidays: lists/holidays.txt}}
connections:
  ssh:   {web1: {host: 192.0.2.10, user: ops, key: secret:web1_key, known_hosts: ./known_hosts}}
  unifi: {home: {url: https://192.0.2.1, api_key: secret:unifi}}
  smtp:  {default: {host: 192.0.2.25, port: 587, user: soar, password: secret:smtp, from: soar@example.org}}
sensors:
  - dns: {interface: eth1}
  - dnstap: {listen: unix:/run/larkspur/dnstap.sock}
  - passivedns: {file: /var/log/passivedns.log}
  - syslog: {listen: udp://127.0.0.1:5514}
playbooks:
  - server_watch: {name: blog, url: https://blog.example.org/, host: web1, who: dave}
intel: {feeds: [], dnsbl: []}
retention: {incidents: 2y, dns: 30d}
`

const wholeBox = `# box.yaml: this box only
web:
  listen: 127.0.0.1:8420
  url: https://soar.example.org/
  tokens: {ci: {secret: secret:ci_token, role: admin}}
  tunnel: {listen: 127.0.0.1:8421, ssh: {host: gate.example.org, user: larkspur, key: secret:tunnel_key, known_hosts: ./gate_hosts}}
store: {dir: ./data}
secrets: {dir: /etc/larkspur/secrets}
git: {url: https://git.example.org/home.git, branch: main, every: 1m, signers: [], trust: []}
egress: {allow: [192.0.2.0/24], deny: []}
admins: [dave]
`

func TestLoadWhole(t *testing.T) {
	dir := workspace(t, map[string]string{WorkspaceFile: whole, BoxFile: wholeBox, "lists/holidays.txt": "# days off\n2026-12-25 # Christmas\n\n01-01\n"})
	c, problems := Load(dir)
	want := []string{
		"box.yaml:9:1: warning: git: not used by this version",
		"larkspur.yaml:17:5: warning: sensors[3].syslog: not used by this version",
		"larkspur.yaml:20:1: warning: intel: not used by this version",
	}
	if got := lines(problems); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
	if c.Name != "home" || c.Zone.String() != "Europe/London" {
		t.Errorf("got %q in %v", c.Name, c.Zone)
	}
	office := c.Calendars["office"]
	if end, ok := office.Add(time.Date(2026, 12, 24, 17, 0, 0, 0, time.UTC), time.Hour); !ok || !end.Equal(time.Date(2026, 12, 28, 9, 30, 0, 0, time.UTC)) {
		t.Errorf("got %s: the holidays of the list and the weekend do not count", end)
	}
	people := map[string]engine.Person{
		"dave": {Name: "dave", Email: "dave@example.org", Role: "admin", Notify: []string{"email", "push"}},
		"ana":  {Name: "ana", Email: "ana@example.org", Role: "responder", Notify: []string{"email"}},
	}
	if !reflect.DeepEqual(c.People, people) {
		t.Errorf("got %v, want %v", c.People, people)
	}
	if got := c.Addresses("family"); !reflect.DeepEqual(got, []string{"dave@example.org", "ana@example.org"}) {
		t.Errorf("family: got %v", got)
	}
	if c.Addresses("nobody") != nil {
		t.Error("nobody: got addresses")
	}
	if got := c.Connections["smtp"]["default"]; got["port"] != int64(587) || got["password"] != "secret:smtp" {
		t.Errorf("got %v", got)
	}
	if got := []Sensor{
		{Kind: "dns", Interface: "eth1", At: engine.Position{File: WorkspaceFile, Line: 14, Col: 5}},
		{Kind: "dnstap", Feed: Feed{Listen: "unix:/run/larkspur/dnstap.sock"}, At: engine.Position{File: WorkspaceFile, Line: 15, Col: 5}},
		{Kind: "passivedns", Feed: Feed{File: "/var/log/passivedns.log"}, At: engine.Position{File: WorkspaceFile, Line: 16, Col: 5}},
	}; !reflect.DeepEqual(c.Sensors, got) {
		t.Errorf("got %v, want %v", c.Sensors, got)
	}
	box := Box{Exists: true, Listen: "127.0.0.1:8420", URL: "https://soar.example.org", Tokens: map[string]Token{"ci": {"ci_token", "admin"}},
		Store: filepath.Join(dir, "data"), Secrets: "/etc/larkspur/secrets", Allow: []string{"192.0.2.0/24"}, Deny: []string{}, Admins: []string{"dave"},
		Tunnel: &Tunnel{Listen: "127.0.0.1:8421", SSH: map[string]any{"host": "gate.example.org", "user": "larkspur", "key": "secret:tunnel_key", "known_hosts": "./gate_hosts"}}}
	if !reflect.DeepEqual(c.Box, box) {
		t.Errorf("got  %+v\nwant %+v", c.Box, box)
	}
	names := c.Settings().Names
	if !reflect.DeepEqual(names["unifi"], []string{"home"}) || !reflect.DeepEqual(names["people"], []string{"ana", "dave"}) || !reflect.DeepEqual(names["teams"], []string{"family"}) {
		t.Errorf("got %v", names)
	}
	places := map[string]engine.Position{}
	for path, col := range map[string]int{"0": 5, "0.name": 26, "0.url": 37, "0.host": 70, "0.who": 81} {
		places[path] = engine.Position{File: WorkspaceFile, Line: 19, Col: col}
	}
	if got := c.Settings().Places; !reflect.DeepEqual(got, places) {
		t.Errorf("got %v, want %v", got, places)
	}
	if !strings.Contains(c.Settings().Playbooks, `"name":"blog"`) {
		t.Errorf("got playbooks %s", c.Settings().Playbooks)
	}
}

func TestLoadDefaults(t *testing.T) {
	dir := workspace(t, map[string]string{WorkspaceFile: "# nothing yet\n"})
	c, problems := Load(dir)
	if len(problems) != 0 {
		t.Errorf("got %v", lines(problems))
	}
	if c.Name != filepath.Base(dir) || c.Zone.String() != "UTC" || c.Settings().Playbooks != "" {
		t.Errorf("got %q, %v, %q", c.Name, c.Zone, c.Settings().Playbooks)
	}
	b := Box{Listen: "127.0.0.1:8420", URL: "http://127.0.0.1:8420", Tokens: map[string]Token{}, Store: filepath.Join(dir, "state"), Secrets: filepath.Join(dir, "secrets")}
	if !reflect.DeepEqual(c.Box, b) {
		t.Errorf("got %+v, want %+v", c.Box, b)
	}
}

func TestOnlyAtStart(t *testing.T) {
	before, _ := Load(workspace(t, map[string]string{WorkspaceFile: "name: a", BoxFile: "store: {dir: /var/lib/larkspur}"}))
	after, _ := Load(workspace(t, map[string]string{
		WorkspaceFile: "name: b\nsensors: [{dns: {interface: eth1}}]", BoxFile: "store: {dir: /var/lib/larkspur}\nweb: {listen: 127.0.0.1:8421}",
	}))
	if got, want := after.OnlyAtStart(before), []string{"sensors", "web.listen", "web.url"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := before.OnlyAtStart(before); got != nil {
		t.Errorf("got %v, want nothing", got)
	}
}

func TestLoadLocalURL(t *testing.T) {
	for listen, want := range map[string]string{
		"0.0.0.0:80": "http://localhost:80", ":8420": "http://localhost:8420", `"[::]:1"`: "http://localhost:1", "192.0.2.7:80": "http://192.0.2.7:80",
	} {
		c, problems := Load(workspace(t, map[string]string{WorkspaceFile: "", BoxFile: "web: {listen: " + quoted(listen) + "}"}))
		if c.Box.URL != want || len(problems) > 0 {
			t.Errorf("%s: got %s, %v, want %s", listen, c.Box.URL, lines(problems), want)
		}
	}
}

func quoted(s string) string { return `"` + strings.Trim(s, `"`) + `"` }

func TestLoadProblems(t *testing.T) {
	for _, c := range []struct {
		name, workspace, box string
		want                 []string
	}{
		{"unknown key", "poeple: {}", "", []string{`larkspur.yaml:1:1: error: poeple: unknown key (did you mean "people"?)`}},
		{"unknown key deep", "people:\n  dave:\n    email: dave@example.org\n    rol: admin", "", []string{`larkspur.yaml:4:5: error: people.dave.rol: unknown key (did you mean "role"?)`}},
		{"unknown key of the box", "", "web: {listn: x}", []string{`box.yaml:1:7: error: web.listn: unknown key (did you mean "listen"?)`}},
		{"several at once", "nam: x\ntimezone: Mars\npeople: []", "store: x", []string{
			"box.yaml:1:8: error: store: got \"x\", want keys and values",
			`larkspur.yaml:1:1: error: nam: unknown key (did you mean "name"?)`,
			`larkspur.yaml:2:11: error: timezone: got "Mars", want a name of the IANA database (write it as in "Europe/London" or "UTC")`,
			"larkspur.yaml:3:9: error: people: got a list, want keys and values",
		}},
		{"not a mapping", "- x", "", []string{"larkspur.yaml:1:1: error: larkspur.yaml: got a list, want keys and values"}},
		{"number for a text", "name: 5", "", []string{"larkspur.yaml:1:7: error: name: got 5, want a text"}},
		{"twice", "name: a\nname: b", "", []string{`larkspur.yaml:2:1: error: the key "name" stands at 1:1 already (write each key once)`}},
		{"not YAML", "people: {dave", "", []string{"larkspur.yaml:1:9: error: this { is never closed (close it with })"}},
		{"not closed", "people:\n  dave: {email: d@example.org\nname: x", "", []string{"larkspur.yaml:2:9: error: this { is never closed (close it with })"}},
		{"tab", "people:\n\tdave: x", "", []string{"larkspur.yaml:2:1: error: a tab indents this line (indent with spaces)"}},
		{"no colon", "people\n  dave: x", "", []string{`larkspur.yaml:1:1: error: a name without a colon, or a line that is indented wrongly (write it as in "people:"; what belongs to it stands below it, indented with spaces)`}},
		{"two colons", "name: a: b", "", []string{`larkspur.yaml:1:7: error: a second colon, or a line that is indented too far (put a text with a colon and a blank into quotes: "a: b")`}},
		{"crooked", "people:\n  - a\n b: c", "", []string{"larkspur.yaml:3:2: error: a line that does not fit those above it (what belongs together begins in the same column, and a blank follows each colon)"}},
		{"quote in quotes", "name: 'it's'", "", []string{`larkspur.yaml:1:11: error: text after the closing quote (a quote within quotes: "it's", or 'it''s')`}},
		{"reserved", "name: @x", "", []string{"larkspur.yaml:1:7: error: '@' is a reserved character (put the text into quotes)"}},
		{"no blank", "name: x\ntimezone:UTC\n", "", []string{"larkspur.yaml:2:1: error: a line that does not fit those above it (what belongs together begins in the same column, and a blank follows each colon)"}},
		{"two documents", "name: a\n---\nname: b", "", []string{"larkspur.yaml:2:1: error: a second document, want one"}},
		{"anchor", "name: &a x", "", []string{"larkspur.yaml:1:7: error: anchors are not used here: write the values out"}},
		{"tag", "name: !!str x", "", []string{"larkspur.yaml:1:7: error: tags are not used here: write the values out"}},
		{"deep", strings.Repeat("[", 50), "", []string{"larkspur.yaml:1:21: error: nested deeper than 20"}},
		{"large", strings.Repeat("#", maxFileBytes+1), "", []string{"larkspur.yaml:1:1: error: larger than 262144 bytes"}},

		{"no address", "people: {dave: {role: viewer}}", "", []string{"larkspur.yaml:1:10: error: people.dave.email: missing"}},
		{"bad address", "people: {dave: {email: Dave <d@example.org>}}", "", []string{`larkspur.yaml:1:24: error: people.dave.email: got "Dave <d@example.org>", want a mail address such as dave@example.org`}},
		{"bad role", "people: {dave: {email: d@example.org, role: enginer}}", "", []string{`larkspur.yaml:1:45: error: people.dave.role: got "enginer", want viewer, approver, responder, engineer, auditor or admin (did you mean "engineer"?)`}},
		{"bad way", "people: {dave: {email: d@example.org, notify: [mail]}}", "", []string{`larkspur.yaml:1:48: error: people.dave.notify: got "mail", want email or push (did you mean "email"?)`}},
		{"bad name", `people: {"da ve": {email: d@example.org}}`, "", []string{`larkspur.yaml:1:10: error: people: got the name "da ve", want letters, digits, dots, hyphens or underscores, at most 64`}},
		{"reserved name", "people: {nobody: {email: d@example.org}}", "", []string{`larkspur.yaml:1:10: error: people.nobody: the name "nobody" has a meaning of its own`}},
		{"admin by git alone", "people: {dave: {email: d@example.org, role: admin}}", "", []string{"larkspur.yaml:1:10: warning: people.dave: counts as an engineer: admins are named in box.yaml (add to box.yaml: admins: [dave])"}},
		{"admin unknown", "people: {dave: {email: d@example.org}}", "admins: [dav, dave]", []string{
			`box.yaml:1:1: warning: admins: "dav" is not among the people of larkspur.yaml`,
			`box.yaml:1:1: warning: admins: "dave" has the role approver in larkspur.yaml (write role: admin there, too)`}},
		{"team of strangers", "teams: {family: [dav]}\npeople: {dave: {email: d@example.org}}", "", []string{`larkspur.yaml:1:18: error: teams.family: nobody is called "dav" (did you mean "dave"?)`}},
		{"team like a person", "teams: {dave: [dave]}\npeople: {dave: {email: d@example.org}}", "", []string{"larkspur.yaml:1:9: error: teams.dave: a person or word has that name already"}},

		{"unknown kind", "connections: {unfi: {}}", "", []string{`larkspur.yaml:1:15: error: connections.unfi: unknown key (did you mean "unifi"?)`}},
		{"connection's own check", "connections:\n  unifi:\n    home:\n      url: https://192.0.2.1\n      api_key: plain", "",
			[]string{"larkspur.yaml:5:7: error: connections.unifi.home.api_key: want secret:NAME, not the value itself (put the value into ./secrets/NAME, or into the environment as LARKSPUR_SECRET_NAME)"}},
		{"connection's missing key", "connections:\n  unifi:\n    home: {api_key: secret:u}", "",
			[]string{"larkspur.yaml:3:5: error: connections.unifi.home.url: missing (for example url: https://192.0.2.1)"}},
		{"bad name of a secret", "connections:\n  ldap: {a: {key: secret:../x}}", "",
			[]string{"larkspur.yaml:2:19: error: connections.ldap.a.key: want secret:NAME, not the value itself (put the value into ./secrets/NAME, or into the environment as LARKSPUR_SECRET_NAME)"}},
		{"sensor without interface", "sensors: [{dns: {}}]", "", []string{"larkspur.yaml:1:12: error: sensors[0].dns.interface: missing"}},
		{"sensor twice", "sensors:\n  - dns: {interface: eth1}\n  - dns: {interface: eth1}", "", []string{`larkspur.yaml:3:5: error: sensors[1].dns: interface "eth1" is listened to already`}},
		{"sensor on any", "sensors:\n  - dns: {interface: any}", "", []string{`larkspur.yaml:2:5: error: sensors[0].dns.interface: got "any", want names of interfaces (on all of them at once a box that forwards sees each packet twice, and a span port needs promiscuous mode; write interface: [eth0, eth1])`}},
		{"sensor's interfaces", "sensors:\n  - dns: {interface: [eth1, eth1]}", "", []string{`larkspur.yaml:2:5: error: sensors[0].dns: interface "eth1" is listened to already`}},
		{"sensor's ports", "sensors:\n  - dns: {interface: eth1, ports: [53, 0, 65536]}\n  - dns: {interface: eth2, ports: 53}", "", []string{
			"larkspur.yaml:2:40: error: sensors[0].dns.ports[1]: got 0, want a number from 1 to 65535",
			"larkspur.yaml:2:43: error: sensors[0].dns.ports[2]: got 65536, want a number from 1 to 65535",
			"larkspur.yaml:3:35: error: sensors[1].dns.ports: got 53, want a list of 1 to 32 ports, such as [53, 5353, 5355]"}},
		{"sensor's ring", "sensors:\n  - dns: {interface: eth1, ring: 8}\n  - dns: {interface: eth2, ring: 8kB}\n  - dns: {interface: eth3, ring: 2GB}", "", []string{
			`larkspur.yaml:2:34: error: sensors[0].dns.ring: got 8, want a size from "1MB" to "1024MB"`,
			`larkspur.yaml:3:34: error: sensors[1].dns.ring: got "8kB", want a size from "1MB" to "1024MB"`,
			`larkspur.yaml:4:34: error: sensors[2].dns.ring: got "2GB", want a size from "1MB" to "1024MB"`}},
		{"sensor's readers", "sensors:\n  - dns: {interface: eth1, fanout: 17}", "", []string{"larkspur.yaml:2:36: error: sensors[0].dns.fanout: got 17, want a number from 1 to 16"}},
		{"sensors not a list", "sensors: {dns: {}}", "", []string{"larkspur.yaml:1:11: error: sensors: got keys and values, want a list, such as - dns: {interface: eth1}"}},
		{"playbook without a name", "playbooks: [x]", "", []string{`larkspur.yaml:1:13: error: playbooks[0]: got "x", want the name of one playbook with its parameters`}},
		{"playbook without parameters", "playbooks:\n  - server_watch: blog", "", []string{`larkspur.yaml:2:5: error: playbooks[0]: got keys and values, want the name of one playbook with its parameters`}},
		{"no playbooks", "playbooks: []", "", nil},
		{"bad span", "retention: {dns: 5 days}", "", []string{`larkspur.yaml:1:18: error: retention.dns: got "5 days", want a duration such as "5m" or "30d"`}},
		{"short memory", "retention: {dns: 1h}", "", []string{`larkspur.yaml:1:18: error: retention.dns: got "1h", want at least "1d"`}},
		{"history", "history: {clients: some, entries: 10}", "", []string{
			`larkspur.yaml:1:20: error: history.clients: got "some", want true or false`,
			`larkspur.yaml:1:35: error: history.entries: got 10, want a number from 1000 to 20000000`}},
		{"short retention", "retention: {incidents: 2h}", "", []string{`larkspur.yaml:1:24: error: retention.incidents: got "2h", want at least "1d"`}},
		{"bad retention", "retention: {incidents: two years}", "", []string{`larkspur.yaml:1:24: error: retention.incidents: got "two years", want a duration such as "5m" or "30d"`}},

		{"listen", "", "web: {listen: 8420}", []string{"box.yaml:1:15: error: web.listen: got 8420, want ADDRESS:PORT such as \"127.0.0.1:8420\""}},
		{"listen without port", "", "web: {listen: 127.0.0.1}", []string{`box.yaml:1:15: error: web.listen: got "127.0.0.1", want ADDRESS:PORT such as "127.0.0.1:8420"`}},
		{"url", "", "web: {url: soar.example.org}", []string{`box.yaml:1:12: error: web.url: got "soar.example.org", want what links begin with, such as "https://soar.example.org"`}},
		{"token", "", "web: {tokens: {ci: {secret: abc}}}", []string{
			"box.yaml:1:16: error: web.tokens.ci.role: missing",
			"box.yaml:1:29: error: web.tokens.ci.secret: want secret:NAME, not the value itself (put the value into ./secrets/NAME, or into the environment as LARKSPUR_SECRET_NAME)"}},
		{"tunnel", "", "web: {url: https://soar.example.org, tunnel: {ssh: {host: gate, usr: x, key: plain}, lisen: x}}", []string{
			"box.yaml:1:47: error: web.tunnel.ssh.user: missing (for example user: ops)",
			`box.yaml:1:65: error: web.tunnel.ssh.usr: unknown key (did you mean "user"?)`,
			"box.yaml:1:73: error: web.tunnel.ssh.key: want secret:NAME, not the value itself (put the value into ./secrets/NAME, or into the environment as LARKSPUR_SECRET_NAME)",
			`box.yaml:1:86: error: web.tunnel.lisen: unknown key (did you mean "listen"?)`}},
		{"tunnel by name", "", "web: {tunnel: {ssh: gate, listen: gate:80}}", []string{
			`box.yaml:1:21: error: web.tunnel.ssh: got "gate", want a host: {host: gate.example.org, user: larkspur, key: secret:tunnel_key}`,
			`box.yaml:1:35: error: web.tunnel.listen: got "gate:80", want IP:PORT of the far end, such as "127.0.0.1:8420"`}},
		{"tunnel in the clear", "", "web: {tunnel: {ssh: {host: gate, user: x, key: secret:k}}}", []string{
			"box.yaml:1:7: warning: web.tunnel: web.url begins with http: what people answer can be read on the way (put a proxy that speaks TLS before the far end, and its address into web.url)"}},
		{"egress", "", "egress:\n  allow: [10.0.0.0/99]", []string{`box.yaml:2:3: error: egress.allow: got "10.0.0.0/99", want a network (192.0.2.0/24), an address or a host`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string]string{WorkspaceFile: c.workspace}
			if c.box != "" {
				files[BoxFile] = c.box
			}
			_, problems := Load(workspace(t, files))
			if got := lines(problems); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
			}
		})
	}
}

func TestLoadNoWorkspace(t *testing.T) {
	c, problems := Load(t.TempDir())
	if got := lines(problems); len(got) != 1 || got[0] != "larkspur.yaml:1:1: error: there is none here (larkspur init DIR makes a workspace that runs at once)" {
		t.Errorf("got %v", got)
	}
	if c.Settings().Names != nil {
		t.Error("names are verified without a configuration")
	}
}

func TestLoadRefusesBoxInGit(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("needs git: not found")
		}
		t.Skip("needs git: not found")
	}
	dir := workspace(t, map[string]string{WorkspaceFile: "", BoxFile: ""})
	for _, args := range [][]string{{"init", "-q"}, {"add", "larkspur.yaml"}} {
		gitRun(t, dir, args...)
	}
	if _, problems := Load(dir); len(problems) != 0 {
		t.Errorf("beside git: got %v", lines(problems))
	}
	gitRun(t, dir, "add", "box.yaml")
	_, problems := Load(dir)
	if got := lines(problems); len(got) != 1 || !strings.HasPrefix(got[0], "box.yaml:1:1: error: is in git") {
		t.Errorf("in git: got %v", got)
	}
}

func gitRun(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte(wholeBox))
	f.Add([]byte("a: |\n x\nb: [1, 2.5, 0x10, .inf, ~, true, 99999999999999999999]\n? c\n: d"))
	f.Add([]byte("- - - -\n\t{a: 'b', \"c\": *d}\n--- !x &y\n<<: z"))
	f.Fuzz(func(t *testing.T, text []byte) {
		root, bad := parse("x.yaml", text)
		if bad != nil {
			if bad.Message == "" || bad.Line < 1 || bad.Col < 1 {
				t.Errorf("got %+v, want a place and a message", bad)
			}
			return
		}
		r := &reader{at: map[string]engine.Position{}}
		if root != nil {
			root.plain()
			r.secrets(root, "")
		}
	})
}

func TestWrongCalendars(t *testing.T) {
	c, problems := Load(workspace(t, map[string]string{WorkspaceFile: `timezone: Europe/London
calendars:
  office: {hours: "mon-fri 9-17"}
  night: {timezone: Europe/Rome}
  shop: {hours: "sat 10:00-14:00", holidays: lists/none.txt}
  yard: {hours: "sat 10:00-14:00", holidays: ../holidays.txt}
  desk: {hours: "daily 00:00-24:00", holidays: lists/holidays.txt}
`, "lists/holidays.txt": "12-25\nEaster\n"}))
	want := []string{
		`larkspur.yaml:3:19: error: calendars.office.hours: "mon-fri 9-17": no time: "9-17" (want days and times, as in "mon-fri 09:00-17:30" or "mon-thu 08:00-12:00 13:00-17:00, fri 08:00-14:00")`,
		`larkspur.yaml:4:11: error: calendars.night: there are no hours (want hours: "mon-fri 09:00-17:30")`,
		`larkspur.yaml:5:46: error: calendars.shop.holidays: "lists/none.txt" cannot be read (want a file of the workspace of at most 64 KiB, such as lists/holidays.txt)`,
		`larkspur.yaml:6:46: error: calendars.yard.holidays: "../holidays.txt" cannot be read (want a file of the workspace of at most 64 KiB, such as lists/holidays.txt)`,
		`lists/holidays.txt:2:1: error: holiday: got "Easter" (want a date, a range of up to a year, or a day of every year: 2026-12-25, 2026-12-24..2027-01-01, 12-25)`,
	}
	if got := lines(problems); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
	if !c.Calendars["shop"].Open(time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)) {
		t.Error("got shut, want open")
	}
}

func TestSensors(t *testing.T) {
	dir := workspace(t, map[string]string{WorkspaceFile: "sensors:\n  - dns: {interface: [eth1, eth2], ports: [53, 5300], ring: 8MB, fanout: 2}\n  - dns: {interface: eth3}"})
	c, problems := Load(dir)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	first := Sensor{Kind: "dns", Interface: "eth1", Ports: []uint16{53, 5300}, RingBytes: 8 << 20, Fanout: 2, At: engine.Position{File: WorkspaceFile, Line: 2, Col: 5}}
	second := first
	second.Interface = "eth2"
	third := Sensor{Kind: "dns", Interface: "eth3", At: engine.Position{File: WorkspaceFile, Line: 3, Col: 5}}
	if want := []Sensor{first, second, third}; !reflect.DeepEqual(c.Sensors, want) {
		t.Errorf("got  %+v\nwant %+v", c.Sensors, want)
	}
	if !first.equal(Sensor{Kind: "dns", Interface: "eth1", Ports: []uint16{53, 5300}, RingBytes: 8 << 20, Fanout: 2}) || first.equal(second) {
		t.Error("a sensor is what it asks for, wherever it stands")
	}
}
