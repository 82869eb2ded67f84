package unifi_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"larkspur/appliance/demo/controller"
	"larkspur/builtins/reach"
	"larkspur/builtins/unifi"
	"larkspur/engine"
)

const (
	tablet = "02:00:00:00:00:07"
	phone  = "02:00:00:00:00:08"
	guest  = "02:00:00:00:00:09"
)

type secrets map[string]string

func (s secrets) Get(name string) (string, error) {
	if v, ok := s[name]; ok {
		return v, nil
	}
	return "", engine.Errorf(engine.NotFound, "no secret %q", name)
}

// clock is set by hand.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time                             { return c.now }
func (c *clock) Sleep(context.Context, time.Duration) error { return nil }

func clients() []controller.Client {
	return []controller.Client{
		{MAC: tablet, Name: "Ana's tablet", Hostname: "tablet", IP: netip.MustParseAddr("192.0.2.7"), Online: true, SSID: "Home", Network: "Default", LastSeen: time.Unix(1795000000, 0)},
		{MAC: phone, Hostname: "daves-phone", IP: netip.MustParseAddr("192.0.2.8"), LastSeen: time.Unix(1794000000, 0)},
	}
}

// start runs a simulated controller until the test ends.
func start(t *testing.T, o controller.Options) *controller.Controller {
	t.Helper()
	o.Clients = clients()
	c, err := controller.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("controller: %v", err)
		}
	})
	return c
}

// rig is the builtins opened on one connection called home.
type rig struct {
	builtins map[string]reach.Builtin
	secrets  secrets
	clock    *clock
}

func open(t *testing.T, values map[string]any) *rig {
	t.Helper()
	policy, err := reach.NewPolicy([]string{"127.0.0.1"}, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{map[string]reach.Builtin{}, secrets{"unifi": "correct horse", "key": "an-api-key"}, &clock{time.Unix(1796000000, 0)}}
	env := &reach.Env{Secrets: r.secrets, Dialer: &reach.Dialer{Policy: policy}, Clock: r.clock}
	m, err := unifi.Open(env, map[string]map[string]any{"home": values})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	for _, b := range m.Builtins {
		r.builtins[b.Name] = b
	}
	return r
}

func (r *rig) call(name string, args map[string]engine.Value) (engine.Result, error) {
	return r.builtins[name].Do(context.Background(), &engine.Call{Name: name, Connection: "home", Args: args})
}

func withPassword(c *controller.Controller) map[string]any {
	return map[string]any{"url": c.URL(), "user": "soar", "password": "secret:unifi", "fingerprint": c.Fingerprint()}
}

func mac(s string) map[string]engine.Value { return map[string]engine.Value{"mac": s} }

func fields(t *testing.T, r engine.Result) map[string]engine.Value {
	t.Helper()
	s, ok := r.Value.(engine.Struct)
	if !ok {
		t.Fatalf("got %#v, want a struct", r.Value)
	}
	return s.Fields
}

// variants are all ways to sign in.
func variants(t *testing.T) map[string]func(t *testing.T) (*controller.Controller, *rig) {
	return map[string]func(t *testing.T) (*controller.Controller, *rig){
		"classic, password": func(t *testing.T) (*controller.Controller, *rig) {
			c := start(t, controller.Options{User: "soar", Password: "correct horse"})
			return c, open(t, withPassword(c))
		},
		"UniFi OS, password": func(t *testing.T) (*controller.Controller, *rig) {
			c := start(t, controller.Options{OS: true, User: "soar", Password: "correct horse"})
			return c, open(t, withPassword(c))
		},
		"UniFi OS, API key": func(t *testing.T) (*controller.Controller, *rig) {
			c := start(t, controller.Options{OS: true, APIKey: "an-api-key"})
			return c, open(t, map[string]any{"url": c.URL(), "api_key": "secret:key", "fingerprint": c.Fingerprint()})
		},
	}
}

func TestBlocksAndUnblocks(t *testing.T) {
	for name, begin := range variants(t) {
		t.Run(name, func(t *testing.T) {
			c, r := begin(t)
			result, err := r.call("unifi.block", mac("02-00-00-00-00-07"))
			if err != nil {
				t.Fatal(err)
			}
			if f := fields(t, result); f["changed"] != true || f["blocked"] != true || f["mac"] != tablet || f["name"] != "Ana's tablet" {
				t.Errorf("got %v", f)
			}
			if !c.Blocked(tablet) {
				t.Error("the controller does not block")
			}
			if result.Change == nil || result.Change.Builtin != "unifi.unblock" ||
				result.Change.Title != "block 02:00:00:00:00:07 on home (Ana's tablet)" {
				t.Fatalf("got change %+v", result.Change)
			}

			again, err := r.call("unifi.block", mac(tablet))
			if err != nil {
				t.Fatal(err)
			}
			if fields(t, again)["changed"] != false || again.Change != nil {
				t.Errorf("blocking twice: got %+v, want no change", again)
			}

			undo, err := r.call(result.Change.Builtin, result.Change.Args)
			if err != nil {
				t.Fatal(err)
			}
			if fields(t, undo)["changed"] != true || c.Blocked(tablet) || undo.Change.Builtin != "unifi.block" {
				t.Errorf("unblocking: got %+v", undo)
			}
			if n := len(c.Commands()); n != 2 {
				t.Errorf("got %d commands, want 2: %v", n, c.Commands())
			}
		})
	}
}

func TestFindsClients(t *testing.T) {
	for name, begin := range variants(t) {
		t.Run(name, func(t *testing.T) {
			c, r := begin(t)
			cases := []struct {
				args   map[string]engine.Value
				mac    engine.Value
				online engine.Value
			}{
				{mac(tablet), tablet, true},
				{mac("020000000008"), phone, false},
				{map[string]engine.Value{"name": "ANA'S tablet"}, tablet, true},
				{map[string]engine.Value{"name": "daves-phone"}, phone, false},
				{map[string]engine.Value{"ip": "192.0.2.8"}, phone, false},
				{map[string]engine.Value{"ip": "192.0.2.7", "name": "tablet"}, tablet, true},
			}
			for _, test := range cases {
				result, err := r.call("unifi.client", test.args)
				if err != nil {
					t.Fatal(err)
				}
				if f := fields(t, result); f["mac"] != test.mac || f["online"] != test.online {
					t.Errorf("%v: got %v", test.args, f)
				}
			}
			if result, err := r.call("unifi.client", mac(guest)); err != nil || result.Value != nil {
				t.Errorf("an unknown client: got %v, %v, want none", result.Value, err)
			}
			c.SetOnline(phone, true)
			result, err := r.call("unifi.client", mac(phone))
			if err != nil || fields(t, result)["online"] != true {
				t.Errorf("after it came: got %v, %v", result.Value, err)
			}
			for all, want := range map[bool]int{false: 2, true: 2} {
				result, err := r.call("unifi.clients", map[string]engine.Value{"all": all})
				if err != nil || len(result.Value.([]engine.Value)) != want {
					t.Errorf("clients(all = %v): got %v, %v", all, result.Value, err)
				}
			}
		})
	}
}

func TestSignsInOnceAndAgainWhenExpired(t *testing.T) {
	for _, os := range []bool{false, true} {
		c := start(t, controller.Options{OS: os, User: "soar", Password: "correct horse"})
		r := open(t, withPassword(c))
		for range 3 {
			if _, err := r.call("unifi.client", mac(tablet)); err != nil {
				t.Fatal(err)
			}
		}
		if c.Logins() != 1 {
			t.Errorf("OS %v: got %d logins for three calls, want 1", os, c.Logins())
		}
		c.ExpireSessions()
		if _, err := r.call("unifi.block", mac(tablet)); err != nil {
			t.Fatal(err)
		}
		if c.Logins() != 2 || len(c.Commands()) != 1 {
			t.Errorf("OS %v: after expiry: got %d logins, %v", os, c.Logins(), c.Commands())
		}
	}
}

func TestManyCallsSignInOnce(t *testing.T) {
	c := start(t, controller.Options{OS: true, User: "soar", Password: "correct horse"})
	r := open(t, withPassword(c))
	errs := make(chan error)
	for range 8 {
		go func() {
			_, err := r.call("unifi.clients", nil)
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if c.Logins() != 1 {
		t.Errorf("got %d logins, want 1", c.Logins())
	}
}

func TestFaults(t *testing.T) {
	cases := []struct {
		fault controller.Fault
		kind  engine.Kind
		cause string
		text  string
		hint  string
	}{
		{controller.Down, engine.Unavailable, "reset", "the connection was lost", ""},
		{controller.Starting, engine.Unavailable, "status", "the console is still starting", "some minutes"},
		{controller.ServerError, engine.Unavailable, "status", "status 500", ""},
		{controller.TooMany, engine.Unavailable, "status", "too many requests (429)", ""},
		{controller.NoPermission, engine.Denied, "", "the account may not do that", "Site Admin"},
	}
	for _, test := range cases {
		for _, os := range []bool{false, true} {
			c := start(t, controller.Options{OS: os, User: "soar", Password: "correct horse"})
			r := open(t, withPassword(c))
			if _, err := r.call("unifi.clients", nil); err != nil {
				t.Fatal(err)
			}
			c.Break(test.fault)
			_, err := r.call("unifi.block", mac(tablet))
			e := engine.AsError(err)
			if e == nil || e.Kind != test.kind || e.Cause != test.cause || e.Maybe || !strings.Contains(e.Message, test.text) || !strings.Contains(e.Hint, test.hint) {
				t.Errorf("%s, OS %v: got %+v", test.fault, os, e)
			}
		}
	}
}

func TestLoginRefused(t *testing.T) {
	cases := []struct {
		name  string
		fault controller.Fault
		kind  engine.Kind
		text  string
	}{
		{"wrong password", controller.Healthy, engine.Denied, "refused user or password"},
		{"second factor", controller.SecondFactor, engine.Denied, "second factor"},
		{"too many", controller.TooMany, engine.Unavailable, "429"},
		{"starting", controller.Starting, engine.Unavailable, "still starting"},
	}
	for _, test := range cases {
		for _, os := range []bool{false, true} {
			c := start(t, controller.Options{OS: os, User: "soar", Password: "another"})
			c.Break(test.fault)
			_, err := open(t, withPassword(c)).call("unifi.clients", nil)
			e := engine.AsError(err)
			if e == nil || e.Kind != test.kind || !strings.Contains(e.Message, test.text) {
				t.Errorf("%s, OS %v: got %+v", test.name, os, e)
			}
			if strings.Contains(e.Message+e.Hint, "correct horse") {
				t.Errorf("%s: the password is in the error", test.name)
			}
		}
	}
}

// A wrong password is not tried again at once, lest the console lock the account;
// a new one is.
func TestWrongPasswordIsHeldBack(t *testing.T) {
	c := start(t, controller.Options{OS: true, User: "soar", Password: "battery staple"})
	r := open(t, withPassword(c))
	for range 20 { // the simulated console answers 429 after five
		_, err := r.call("unifi.clients", nil)
		if engine.KindOf(err) != engine.Denied {
			t.Fatalf("got %v, want denied", err)
		}
	}
	r.secrets["unifi"] = "battery staple"
	if _, err := r.call("unifi.clients", nil); err != nil {
		t.Errorf("with the right password: %v", err)
	}
}

func TestLostAnswerMayHaveBlocked(t *testing.T) {
	c := start(t, controller.Options{OS: true, APIKey: "an-api-key"})
	r := open(t, map[string]any{"url": c.URL(), "api_key": "secret:key", "fingerprint": c.Fingerprint()})
	c.Break(controller.Lost)
	_, err := r.call("unifi.block", mac(tablet))
	if e := engine.AsError(err); e == nil || !e.Maybe || e.Kind != engine.Unavailable {
		t.Fatalf("got %+v, want unavailable and maybe", e)
	}
	c.Break(controller.Healthy)
	call := &engine.Call{Name: "unifi.block", Connection: "home", Args: mac(tablet)}
	happened, result, err := r.builtins["unifi.block"].Probe(context.Background(), call)
	if err != nil || !happened || result.Change == nil {
		t.Errorf("probe: got %v, %+v, %v, want happened", happened, result, err)
	}
	call.Args = mac(phone)
	happened, _, err = r.builtins["unifi.block"].Probe(context.Background(), call)
	if err != nil || happened {
		t.Errorf("probe of another: got %v, %v, want not happened", happened, err)
	}
}

func TestSlowControllerTimesOut(t *testing.T) {
	c := start(t, controller.Options{OS: true, APIKey: "an-api-key"})
	r := open(t, map[string]any{"url": c.URL(), "api_key": "secret:key", "fingerprint": c.Fingerprint(), "timeout": "50ms"})
	c.Break(controller.Hang)
	_, err := r.call("unifi.clients", nil)
	if engine.KindOf(err) != engine.Timeout {
		t.Errorf("got %v, want a timeout", err)
	}
}

func TestCertificates(t *testing.T) {
	c := start(t, controller.Options{OS: true, APIKey: "an-api-key"})
	values := map[string]any{"url": c.URL(), "api_key": "secret:key"}
	_, err := open(t, values).call("unifi.clients", nil)
	e := engine.AsError(err)
	if e == nil || e.Cause != "tls" || !strings.Contains(e.Hint, "connections.unifi.home.fingerprint") || !strings.Contains(e.Hint, c.Fingerprint()) {
		t.Errorf("without a fingerprint: got %+v, want the one seen and its key", e)
	}
	values["fingerprint"] = "sha256:" + strings.Repeat("ab", 32)
	_, err = open(t, values).call("unifi.clients", nil)
	e = engine.AsError(err)
	if e == nil || e.Cause != "tls" || !strings.Contains(e.Message, c.Fingerprint()) || !strings.Contains(e.Hint, "stands between") {
		t.Errorf("with another fingerprint: got %+v", e)
	}
}

func TestWrongArguments(t *testing.T) {
	c := start(t, controller.Options{OS: true, APIKey: "an-api-key"})
	r := open(t, map[string]any{"url": c.URL(), "api_key": "secret:key", "fingerprint": c.Fingerprint()})
	cases := []struct {
		name string
		args map[string]engine.Value
		kind engine.Kind
		text string
	}{
		{"unifi.block", mac("tablet"), engine.Invalid, `unifi.block: mac: got "tablet", want six pairs of hex digits such as 02:00:00:00:00:07`},
		{"unifi.block", nil, engine.Invalid, `unifi.block: mac: got "", want six pairs of hex digits such as 02:00:00:00:00:07`},
		{"unifi.block", mac("02:00:00:00:00:07:08:09"), engine.Invalid, "want six pairs"},
		{"unifi.block", mac(guest), engine.NotFound, "unifi.block: the controller home has never seen 02:00:00:00:00:09"},
		{"unifi.unblock", mac(guest), engine.NotFound, "has never seen"},
		{"unifi.client", nil, engine.Invalid, "unifi.client: none of mac, name and ip is given"},
		{"unifi.client", map[string]engine.Value{"ip": "home"}, engine.Invalid, `unifi.client: ip: got "home", want an address`},
	}
	for _, test := range cases {
		_, err := r.call(test.name, test.args)
		if e := engine.AsError(err); e == nil || e.Kind != test.kind || !strings.Contains(e.Message, test.text) {
			t.Errorf("%s(%v): got %v, want %s: %s", test.name, test.args, err, test.kind, test.text)
		}
	}
	if len(c.Commands()) != 0 {
		t.Errorf("got commands %v, want none", c.Commands())
	}
}

func TestUnknownSite(t *testing.T) {
	c := start(t, controller.Options{OS: true, APIKey: "an-api-key"})
	_, err := open(t, map[string]any{"url": c.URL(), "api_key": "secret:key", "fingerprint": c.Fingerprint(), "site": "attic"}).call("unifi.clients", nil)
	if e := engine.AsError(err); e == nil || e.Kind != engine.NotFound || !strings.Contains(e.Message, `there is no site "attic"`) {
		t.Errorf("got %+v", e)
	}
}

func TestWrongAPIKey(t *testing.T) {
	c := start(t, controller.Options{OS: true, APIKey: "another"})
	_, err := open(t, map[string]any{"url": c.URL(), "api_key": "secret:key", "fingerprint": c.Fingerprint()}).call("unifi.clients", nil)
	if e := engine.AsError(err); e == nil || e.Kind != engine.Denied || !strings.Contains(e.Message, "refused the API key") || !strings.Contains(e.Hint, "connections.unifi.home.api_key") {
		t.Errorf("got %+v", e)
	}
}

func TestConfigurationMistakes(t *testing.T) {
	good := func(change func(map[string]any)) map[string]any {
		m := map[string]any{"url": "https://192.0.2.1", "api_key": "secret:unifi"}
		change(m)
		return m
	}
	cases := []struct {
		values     map[string]any
		text, hint string
	}{
		{good(func(m map[string]any) { m["fingerprnt"] = "x" }), "connections.unifi.home.fingerprnt: unknown key", `did you mean "fingerprint"?`},
		{good(func(m map[string]any) { m["fingerprint"] = "sha1:00" }), `connections.unifi.home.fingerprint: got "sha1:00", want sha256: and 64 hex digits or base64`, ""},
		{good(func(m map[string]any) { m["url"] = "http://192.0.2.1" }), `connections.unifi.home.url: got "http://192.0.2.1", want https://HOST`, ""},
		{good(func(m map[string]any) { delete(m, "url") }), "connections.unifi.home.url: missing", "for example url: https://192.0.2.1"},
		{good(func(m map[string]any) { m["api_key"] = "abc" }), "connections.unifi.home.api_key: want secret:NAME, not the value itself", "./secrets/NAME"},
		{good(func(m map[string]any) { m["user"] = "soar" }), "connections.unifi.home.api_key: stands beside user and password", "keep one"},
		{good(func(m map[string]any) { delete(m, "api_key") }), "connections.unifi.home.api_key: missing", "local account"},
		{good(func(m map[string]any) { delete(m, "api_key"); m["user"] = "soar" }), "connections.unifi.home.password: missing beside user", ""},
		{good(func(m map[string]any) { m["timeout"] = "1h" }), `connections.unifi.home.timeout: got "1h", want a duration up to 2m, such as 30s`, ""},
		{good(func(m map[string]any) { m["site"] = 7 }), "connections.unifi.home.site: got 7, want a text", ""},
	}
	policy, _ := reach.NewPolicy(nil, nil, nil, nil)
	env := &reach.Env{Dialer: &reach.Dialer{Policy: policy}, Clock: engine.SystemClock{}}
	for _, test := range cases {
		_, err := unifi.Open(env, map[string]map[string]any{"home": test.values})
		if err == nil || err.Error() != test.text {
			t.Errorf("got %v, want %s", err, test.text)
			continue
		}
		if hint := engine.AsError(err).Hint; !strings.Contains(hint, test.hint) {
			t.Errorf("%s: got hint %q, want %q", test.text, hint, test.hint)
		}
	}
}
