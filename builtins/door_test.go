package builtins

import (
	"context"
	"encoding/base64"
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"larkspur/appliance/demo/controller"
	"larkspur/builtins/reach"
	"larkspur/engine"
)

type secrets map[string]string

func (s secrets) Get(name string) (string, error) {
	if v, ok := s[name]; ok {
		return v, nil
	}
	return "", engine.Errorf(engine.NotFound, "no secret %q", name)
}

// links makes addresses as the appliance does.
type links struct{}

const token = "abcdefghijklmnopqrstuvwxyz234567"

func (links) URL(s engine.Secret) (string, error) { return "https://soar.example.org/a/" + token, nil }
func (links) Code(string) string                  { return "ABCD-EFGH" }

// with opens a door and replaces one builtin by do, so that the door alone is
// under test.
func with(t *testing.T, cfg Config, b reach.Builtin) *Door {
	t.Helper()
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.builtins[b.Name] = withDefaults(b)
	return d
}

func builtin(class engine.Class, do func(context.Context, *engine.Call) (engine.Result, error)) reach.Builtin {
	return reach.Builtin{Builtin: engine.Builtin{
		Signature: engine.Signature{Name: "test.do", Class: class, Params: []engine.Param{{Name: "timeout", Kind: "duration"}}},
		Do:        do,
	}}
}

func TestSecretsAreReplacedDeeply(t *testing.T) {
	var seen map[string]engine.Value
	d := with(t, Config{Secrets: secrets{"a": "alpha-value"}, Links: links{}}, builtin(engine.Read, func(_ context.Context, c *engine.Call) (engine.Result, error) {
		seen = c.Args
		return engine.Result{}, nil
	}))
	handle := engine.Secret{Name: "a"}
	args := map[string]engine.Value{
		"plain": handle,
		"deep":  []engine.Value{engine.Tuple{"user", handle}, map[string]engine.Value{"k": engine.Struct{Type: "x", Fields: map[string]engine.Value{"f": handle}}}, engine.Set{handle}},
		"dict":  engine.Dict{{Key: int64(1), Value: handle}},
		"link":  engine.LinkSecret("q0-7", "dave", 1),
	}
	if _, err := d.Do(t.Context(), &engine.Call{Name: "test.do", Args: args}); err != nil {
		t.Fatal(err)
	}
	got := string(engine.MustEncode(seen))
	if strings.Contains(got, `"secret"`) || strings.Count(got, "alpha-value") != 5 || !strings.Contains(got, "/a/"+token) {
		t.Errorf("got %s", got)
	}
	if args["plain"] != handle {
		t.Error("the caller's arguments were changed")
	}
}

func TestMissingSecret(t *testing.T) {
	d := with(t, Config{Secrets: secrets{}}, builtin(engine.Read, nil))
	_, err := d.Do(t.Context(), &engine.Call{Name: "test.do", Args: map[string]engine.Value{"auth": engine.Secret{Name: "chat-key"}}})
	e := engine.AsError(err)
	if e.Kind != engine.Invalid || e.Message != `test.do: auth: there is no secret "chat-key"` ||
		e.Hint != "put it into the file ./secrets/chat-key, or into the environment as LARKSPUR_SECRET_CHAT_KEY" {
		t.Errorf("got %+v", e)
	}
}

func TestSecretsAreScrubbed(t *testing.T) {
	const value = "correct horse/battery+staple?"
	std, raw := base64.StdEncoding, base64.RawURLEncoding
	forms := map[string]string{
		"raw":          "x " + value + " y",
		"query":        "k=" + url.QueryEscape(value),
		"path":         "/" + url.PathEscape(value),
		"lower escape": strings.ToLower(url.QueryEscape(value)),
		"base64":       std.EncodeToString([]byte(value)),
		"after 1":      std.EncodeToString([]byte("u" + value + ":tail")),
		"after 2":      std.EncodeToString([]byte("us" + value + ":tail")),
		"url base64":   raw.EncodeToString([]byte("user:" + value)),
		"json":         `{"k":"` + value + `"}`,
	}
	for name, form := range forms {
		d := with(t, Config{Secrets: secrets{"pass": value}}, builtin(engine.Once, func(_ context.Context, c *engine.Call) (engine.Result, error) {
			if c.Args["fail"] == true {
				return engine.Result{}, engine.Errorf(engine.Denied, "no: %s", form).WithHint("%s", form)
			}
			return engine.Result{
				Value:  map[string]engine.Value{form: []engine.Value{form, engine.Bytes(form), engine.Struct{Fields: map[string]engine.Value{"a": form}}}},
				Change: &engine.Inverse{Title: form, Args: map[string]engine.Value{"a": form}},
				Starts: []engine.Start{{Args: map[string]engine.Value{"a": engine.Tuple{form}}}},
			}, nil
		}))
		args := map[string]engine.Value{"s": engine.Secret{Name: "pass"}}
		r, err := d.Do(t.Context(), &engine.Call{Name: "test.do", Args: args})
		if err != nil {
			t.Fatal(err)
		}
		got := string(engine.MustEncode([]engine.Value{r.Value, r.Change.Title, r.Change.Args, r.Starts[0].Args}))
		if strings.Contains(got, form) || strings.Contains(got, std.EncodeToString([]byte(form))) || strings.Count(got, "[secret pass]") != 6 {
			t.Errorf("%s: got %s", name, got)
		}
		args["fail"] = true
		_, err = d.Do(t.Context(), &engine.Call{Name: "test.do", Args: args})
		e := engine.AsError(err)
		if strings.Contains(e.Message+e.Hint, form) || e.Kind != engine.Denied || !strings.Contains(e.Hint, "[secret pass]") {
			t.Errorf("%s: error: got %+v", name, e)
		}
	}
}

func TestLinksAreScrubbed(t *testing.T) {
	d := with(t, Config{Links: links{}}, builtin(engine.Read, func(_ context.Context, c *engine.Call) (engine.Result, error) {
		encoded := base64.StdEncoding.EncodeToString([]byte("see " + token + " there"))
		return engine.Result{Value: "see https://other.example.org/a/" + token + " and " + token + " and " + encoded}, nil
	}))
	r, err := d.Do(t.Context(), &engine.Call{Name: "test.do", Args: map[string]engine.Value{"url": engine.LinkSecret("q0-7", "dave", 1)}})
	if err != nil {
		t.Fatal(err)
	}
	if text := r.Value.(string); strings.Contains(text, token) || strings.Count(text, "[secret link]") != 3 {
		t.Errorf("got %s", text)
	}
	// Another call knows nothing of the token, but its shape.
	r, err = d.Do(t.Context(), &engine.Call{Name: "test.do"})
	if err != nil || strings.Contains(r.Value.(string), "/a/"+token) {
		t.Errorf("got %v, %v", r.Value, err)
	}
}

func TestPanicIsInternal(t *testing.T) {
	for class, maybe := range map[engine.Class]bool{engine.Read: false, engine.Once: true} {
		d := with(t, Config{}, builtin(class, func(context.Context, *engine.Call) (engine.Result, error) { panic("index out of range") }))
		_, err := d.Do(t.Context(), &engine.Call{Name: "test.do"})
		if e := engine.AsError(err); e.Kind != engine.Internal || e.Maybe != maybe || !strings.Contains(e.Message, "index out of range") {
			t.Errorf("%s: got %+v", class, e)
		}
	}
}

func TestErrorsGetKinds(t *testing.T) {
	cases := []struct {
		err   error
		class engine.Class
		kind  engine.Kind
		maybe bool
	}{
		{errors.New("odd"), engine.Read, engine.Internal, false},
		{errors.New("odd"), engine.Once, engine.Internal, true},
		{context.DeadlineExceeded, engine.Repeatable, engine.Timeout, true},
		{context.Canceled, engine.Read, engine.Unavailable, false},
		{&engine.Error{Kind: engine.Denied, Message: "no", Maybe: true}, engine.Read, engine.Denied, false},
		{&engine.Error{Kind: engine.Unavailable, Message: "no", Maybe: true}, engine.Once, engine.Unavailable, true},
	}
	for _, test := range cases {
		d := with(t, Config{}, builtin(test.class, func(context.Context, *engine.Call) (engine.Result, error) { return engine.Result{}, test.err }))
		_, err := d.Do(t.Context(), &engine.Call{Name: "test.do"})
		if e := engine.AsError(err); e.Kind != test.kind || e.Maybe != test.maybe {
			t.Errorf("%v (%s): got %+v", test.err, test.class, e)
		}
	}
}

func TestTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := with(t, Config{}, builtin(engine.Read, func(ctx context.Context, _ *engine.Call) (engine.Result, error) {
			<-ctx.Done()
			return engine.Result{}, ctx.Err()
		}))
		cases := []struct {
			timeout engine.Value
			after   time.Duration
			kind    engine.Kind
		}{
			{nil, 30 * time.Second, engine.Timeout},
			{5 * time.Second, 5 * time.Second, engine.Timeout},
			{"2m", 2 * time.Minute, engine.Timeout},
			{time.Hour, 0, engine.Invalid},
			{"soon", 0, engine.Invalid},
		}
		for _, test := range cases {
			begun := time.Now()
			_, err := d.Do(t.Context(), &engine.Call{Name: "test.do", Args: map[string]engine.Value{"timeout": test.timeout}})
			if e := engine.AsError(err); e.Kind != test.kind || time.Since(begun) != test.after {
				t.Errorf("timeout %v: got %+v after %s", test.timeout, e, time.Since(begun))
			}
		}
	})
}

func TestCallsOfOneConnectionWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		running := 0
		b := builtin(engine.Read, func(context.Context, *engine.Call) (engine.Result, error) {
			running++
			<-release
			running--
			return engine.Result{}, nil
		})
		b.AtOnce = 1
		d := with(t, Config{}, b)
		errs := make(chan error, 3)
		for range 3 {
			go func() {
				_, err := d.Do(t.Context(), &engine.Call{Name: "test.do", Args: map[string]engine.Value{"timeout": time.Minute}})
				errs <- err
			}()
		}
		synctest.Wait()
		if running != 1 {
			t.Errorf("got %d calls at once, want 1", running)
		}
		release <- struct{}{}
		synctest.Wait()
		time.Sleep(2 * time.Minute) // virtual: the third waits longer than its timeout
		release <- struct{}{}
		kinds := map[engine.Kind]int{}
		for range 3 {
			if err := <-errs; err != nil {
				kinds[engine.KindOf(err)]++
			}
		}
		if kinds[engine.Timeout] != 1 {
			t.Errorf("got errors %v, want one timeout", kinds)
		}
	})
}

func TestResultsAreBounded(t *testing.T) {
	deep := engine.Value("x")
	for range engine.MaxDepth + 1 {
		deep = []engine.Value{deep}
	}
	for name, v := range map[string]engine.Value{"large": strings.Repeat("x", maxResultBytes+1), "deep": deep} {
		d := with(t, Config{}, builtin(engine.Once, func(context.Context, *engine.Call) (engine.Result, error) { return engine.Result{Value: v}, nil }))
		_, err := d.Do(t.Context(), &engine.Call{Name: "test.do"})
		if e := engine.AsError(err); e == nil || e.Kind != engine.Invalid || !e.Maybe {
			t.Errorf("%s: got %+v", name, e)
		}
	}
}

func TestErrorsAreBounded(t *testing.T) {
	d := with(t, Config{}, builtin(engine.Read, func(context.Context, *engine.Call) (engine.Result, error) {
		return engine.Result{}, engine.Errorf(engine.Denied, "%s", strings.Repeat("ä", 5000))
	}))
	_, err := d.Do(t.Context(), &engine.Call{Name: "test.do"})
	if n := len(err.Error()); n > maxErrorBytes+40 {
		t.Errorf("got %d bytes", n)
	}
}

func TestFindsTheConnection(t *testing.T) {
	entry := map[string]any{"url": "https://192.0.2.1", "api_key": "secret:unifi"}
	cases := []struct {
		names []string
		given string
		want  string
		err   string
	}{
		{[]string{"home"}, "", "home", ""},
		{[]string{"home", "default"}, "", "default", ""},
		{[]string{"home", "office"}, "office", "office", ""},
		{[]string{"home", "office"}, "", "", "test.do: which connection? connections.unifi has home, office"},
		{[]string{"home", "office"}, "ofice", "", `test.do: no connection "ofice" in connections.unifi`},
		{nil, "", "", "test.do: there is no connection in connections.unifi"},
	}
	for _, test := range cases {
		cfg := Config{Connections: map[string]map[string]map[string]any{"unifi": {}}}
		for _, n := range test.names {
			cfg.Connections["unifi"][n] = entry
		}
		got := ""
		b := builtin(engine.Read, func(_ context.Context, c *engine.Call) (engine.Result, error) {
			got = c.Connection
			return engine.Result{}, nil
		})
		b.Connection = "unifi"
		d := with(t, cfg, b)
		_, err := d.Do(t.Context(), &engine.Call{Name: "test.do", Args: map[string]engine.Value{"connection": test.given}})
		if got != test.want || (err == nil) != (test.err == "") || err != nil && err.Error() != test.err {
			t.Errorf("%v, %q: got %q, %v", test.names, test.given, got, err)
		}
	}
}

func TestOpenReportsAllMistakes(t *testing.T) {
	_, err := Open(Config{
		Connections: map[string]map[string]map[string]any{
			"unfi":  {},
			"imap":  {"phishing": {"host": "192.0.2.25"}},
			"unifi": {"home": {"url": "https://192.0.2.1", "api_key": "plain"}},
			"smtp":  {"default": {"host": "192.0.2.25"}},
		},
		Egress: Egress{Allow: []string{"10.0.0.0/99"}},
	})
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{
		"connections.unfi: unknown kind of connection",
		"connections.unifi.home.api_key: want secret:NAME, not the value itself",
		"connections.smtp.default.from: missing",
		`egress.allow: got "10.0.0.0/99"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "imap") {
		t.Errorf("imap is read elsewhere: %v", err)
	}
}

// The whole way: a block through the door on a simulated controller, whose
// address is private and allowed because a connection names it.
func TestBlockThroughTheDoor(t *testing.T) {
	const mac = "02:00:00:00:00:07"
	c, err := controller.Open(controller.Options{OS: true, User: "soar", Password: "correct horse",
		Clients: []controller.Client{{MAC: mac, Name: "Tablet", IP: netip.MustParseAddr("192.0.2.7"), Online: true}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	defer func() { cancel(); <-done }()

	d, err := Open(Config{
		Secrets: secrets{"unifi": "correct horse"},
		Connections: map[string]map[string]map[string]any{"unifi": {"home": {
			"url": c.URL(), "user": "soar", "password": "secret:unifi", "fingerprint": c.Fingerprint()}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	call := &engine.Call{Name: "unifi.block", Args: map[string]engine.Value{"mac": mac, "connection": nil}, Key: "r0-1/1//1"}
	r, err := d.Do(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Blocked(mac) || r.Change == nil || r.Change.Args["connection"] != "home" {
		t.Errorf("got %+v", r)
	}
	b, ok := d.Lookup("unifi.block")
	if !ok || b.Probe == nil {
		t.Fatal("no probe")
	}
	if happened, _, err := b.Probe(t.Context(), call); err != nil || !happened {
		t.Errorf("probe: got %v, %v", happened, err)
	}
	if _, err := d.Do(t.Context(), &engine.Call{Name: "unifi.blok"}); err == nil || err.Error() != `there is no builtin "unifi.blok"` {
		t.Errorf("got %v", err)
	}
}
