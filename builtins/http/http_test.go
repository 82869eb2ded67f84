package http_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"larkspur/builtins/http"
	"larkspur/builtins/reach"
	"larkspur/engine"
)

type secrets map[string]string

func (s secrets) Get(name string) (string, error) {
	if v, ok := s[name]; ok {
		return v, nil
	}
	return "", engine.Errorf(engine.Invalid, "no secret %q", name)
}

// rig is the builtins of http, opened.
type rig struct{ builtins map[string]reach.Builtin }

func open(t *testing.T, connections map[string]map[string]any, change ...func(*reach.Dialer)) rig {
	t.Helper()
	policy, err := reach.NewPolicy([]string{"127.0.0.1", "::1"}, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	dialer := &reach.Dialer{Policy: policy}
	for _, c := range change {
		c(dialer)
	}
	m, err := http.Open(&reach.Env{Secrets: secrets{"token": "t0ken", "pass": "p4ss"}, Dialer: dialer, Clock: engine.SystemClock{}}, connections)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	r := rig{map[string]reach.Builtin{}}
	for _, b := range m.Builtins {
		r.builtins[b.Name] = b
	}
	return r
}

type args = map[string]engine.Value

func (r rig) call(c *engine.Call) (map[string]engine.Value, *engine.Error) {
	result, err := r.builtins[c.Name].Do(context.Background(), c)
	if err != nil {
		return nil, engine.AsError(err)
	}
	return result.Value.(engine.Struct).Fields, nil
}

func (r rig) must(t *testing.T, name string, a args) map[string]engine.Value {
	t.Helper()
	f, err := r.call(&engine.Call{Name: name, Args: a})
	if err != nil {
		t.Fatalf("%s(%v): %v", name, a, err)
	}
	return f
}

// echo answers with what it got.
func echo(t *testing.T) *httptest.Server {
	s := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Add("X-Two", "a")
		w.Header().Add("X-Two", "b")
		json.NewEncoder(w).Encode(map[string]any{"method": r.Method, "uri": r.URL.RequestURI(), "host": r.Host, "header": r.Header, "body": string(body)})
	}))
	t.Cleanup(s.Close)
	return s
}

// got is what echo answers.
type got struct {
	Method, URI, Host, Body string
	Header                  nethttp.Header
}

func decode(t *testing.T, f map[string]engine.Value) got {
	t.Helper()
	var g got
	if err := json.Unmarshal([]byte(f["body"].(string)), &g); err != nil {
		t.Fatalf("%v: %v", f["body"], err)
	}
	return g
}

func TestSends(t *testing.T) {
	s := echo(t)
	r := open(t, nil)
	cases := []struct {
		name   string
		args   args
		want   got
		header map[string]string
	}{
		{"http.get", args{"url": s.URL + "/x?a=1#frag", "params": args{"b": int64(2), "c": []engine.Value{"x y", true}}}, got{Method: "GET", URI: "/x?a=1&b=2&c=x+y&c=true"}, map[string]string{"User-Agent": "Larkspur"}},
		{"http.get", args{"url": s.URL, "auth": "t0ken"}, got{Method: "GET", URI: "/"}, map[string]string{"Authorization": "Bearer t0ken"}},
		{"http.get", args{"url": s.URL, "auth": engine.Tuple{"ana", "p4ss"}}, got{Method: "GET", URI: "/"}, map[string]string{"Authorization": "Basic YW5hOnA0c3M="}},
		{"http.get", args{"url": s.URL, "headers": args{"x-one": "1", "Host": "other.example.org"}}, got{Method: "GET", URI: "/", Host: "other.example.org"}, map[string]string{"X-One": "1"}},
		{"http.post", args{"url": s.URL, "json": args{"n": int64(3), "list": engine.Tuple{1.5, nil}, "d": 90 * time.Second, "t": time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC), "s": engine.Struct{Fields: args{"a": "<b>"}}}},
			got{Method: "POST", URI: "/", Body: `{"d":90,"list":[1.5,null],"n":3,"s":{"a":"<b>"},"t":"2026-11-22T08:00:00Z"}`}, map[string]string{"Content-Type": "application/json"}},
		{"http.put", args{"url": s.URL, "form": args{"a": "1 2"}}, got{Method: "PUT", URI: "/", Body: "a=1+2"}, map[string]string{"Content-Type": "application/x-www-form-urlencoded"}},
		{"http.patch", args{"url": s.URL, "body": engine.Bytes{1, 2}}, got{Method: "PATCH", URI: "/", Body: "\x01\x02"}, map[string]string{"Content-Type": "application/octet-stream"}},
		{"http.delete", args{"url": s.URL}, got{Method: "DELETE", URI: "/"}, nil},
	}
	for _, test := range cases {
		f := r.must(t, test.name, test.args)
		g := decode(t, f)
		if g.Method != test.want.Method || g.URI != test.want.URI || g.Body != test.want.Body || test.want.Host != "" && g.Host != test.want.Host {
			t.Errorf("%s: got %+v, want %+v", test.name, g, test.want)
		}
		for k, v := range test.header {
			if g.Header.Get(k) != v {
				t.Errorf("%s: header %s: got %q, want %q", test.name, k, g.Header.Get(k), v)
			}
		}
		if f["status"] != int64(200) || f["tls"] != nil || f["headers"].(args)["x-two"] != "a, b" || f["elapsed"].(time.Duration) < 0 {
			t.Errorf("%s: got %v", test.name, f)
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	s := echo(t)
	r := open(t, nil)
	for class, want := range map[engine.Class]string{"": "", engine.Repeatable: "r0-1/1//4"} {
		f, err := r.call(&engine.Call{Name: "http.post", Key: "r0-1/1//4", Class: class, Args: args{"url": s.URL}})
		if err != nil {
			t.Fatal(err)
		}
		if key := decode(t, f).Header.Get("Idempotency-Key"); key != want {
			t.Errorf("class %q: got %q, want %q", class, key, want)
		}
	}
}

func TestAnyStatusIsAnAnswer(t *testing.T) {
	s := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		w.WriteHeader(503)
		io.WriteString(w, "away\xff")
	}))
	defer s.Close()
	f := open(t, nil).must(t, "http.get", args{"url": s.URL})
	if f["status"] != int64(503) || f["body"] != "away\xff" || f["url"] != s.URL {
		t.Errorf("got %v", f)
	}
	if f := open(t, nil).must(t, "http.head", args{"url": s.URL}); f["body"] != "" || f["status"] != int64(503) {
		t.Errorf("head: got %v", f)
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(nethttp.HandlerFunc(func(nethttp.ResponseWriter, *nethttp.Request) {}))
	defer s.Close()
	s.Config.ErrorLog = nil
	_, err := open(t, nil).call(&engine.Call{Name: "http.get", Args: args{"url": s.URL}})
	if err == nil || err.Kind != engine.Unavailable || err.Cause != "tls" || err.Message != "http.get "+s.URL+": the certificate is not to be trusted: it is signed by nobody that this machine knows" {
		t.Errorf("unknown certificate: got %+v", err)
	}
	trusted := open(t, nil, func(d *reach.Dialer) { d.Roots = s.Client().Transport.(*nethttp.Transport).TLSClientConfig.RootCAs })
	for name, f := range map[string]map[string]engine.Value{
		"trusted":      trusted.must(t, "http.get", args{"url": s.URL}),
		"verify=False": open(t, nil).must(t, "http.get", args{"url": s.URL, "verify": false}),
		"pinned": func() map[string]engine.Value {
			r := open(t, map[string]map[string]any{"own": {"url": s.URL, "fingerprint": reach.PinOf(s.Certificate()).String()}})
			f, err := r.call(&engine.Call{Name: "http.post", Connection: "own", Args: args{"url": "/"}})
			if err != nil {
				t.Fatal(err)
			}
			return f
		}(),
	} {
		info, ok := f["tls"].(engine.Struct)
		if !ok {
			t.Fatalf("%s: got tls %v", name, f["tls"])
		}
		if v := info.Fields; v["version"] != "1.3" || !strings.HasPrefix(v["cipher"].(string), "TLS_") || v["days_left"].(int64) < 1000 ||
			!reflect.DeepEqual(v["names"], []engine.Value{"example.com", "*.example.com", "127.0.0.1", "::1"}) || v["subject"] != "O=Acme Co" {
			t.Errorf("%s: got %v", name, v)
		}
	}
	r := open(t, map[string]map[string]any{"own": {"url": s.URL, "fingerprint": "sha256:" + strings.Repeat("00", 32)}})
	_, err = r.call(&engine.Call{Name: "http.post", Connection: "own", Args: args{"url": "/"}})
	if err == nil || err.Cause != "tls" || err.Maybe || !strings.Contains(err.Message, "connections.http.own.fingerprint") {
		t.Errorf("another key: got %+v", err)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	s := httptest.NewUnstartedServer(nethttp.HandlerFunc(func(nethttp.ResponseWriter, *nethttp.Request) {}))
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	s.StartTLS()
	defer s.Close()
	_, err := open(t, nil).call(&engine.Call{Name: "http.get", Args: args{"url": s.URL, "verify": false}})
	if err == nil || err.Kind != engine.Unavailable || err.Cause != "tls" {
		t.Errorf("got %+v", err)
	}
}

// offline has no name server to ask.
func offline(d *reach.Dialer) {
	d.Resolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }}
}

func TestNoAnswer(t *testing.T) {
	cut := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		conn, _, _ := nethttp.NewResponseController(w).Hijack()
		if r.URL.Path == "/half" {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
		}
		conn.Close()
	}))
	defer cut.Close()
	slow := httptest.NewServer(nethttp.HandlerFunc(func(_ nethttp.ResponseWriter, r *nethttp.Request) { <-r.Context().Done() }))
	defer slow.Close()
	cases := []struct {
		url   string
		kind  engine.Kind
		cause string
		text  string
		maybe bool
	}{
		{"http://127.0.0.1:1", engine.Unavailable, "refused", "the connection was refused", false},
		{cut.URL, engine.Unavailable, "reset", "the connection was lost", true},
		{cut.URL + "/half", engine.Unavailable, "reset", "the connection was lost", true},
		{slow.URL + "/?key=hidden", engine.Timeout, "", "http.post " + slow.URL + "/: no answer in time", true},
		{"http://nothing.invalid/", engine.Unavailable, "name", "the name nothing.invalid", false},
		{"http://169.254.169.254/latest", engine.Denied, "", "cloud's metadata", false},
		{"http://192.0.2.1/", engine.Denied, "", "not a public address", false},
	}
	for _, test := range cases {
		timeout := time.Minute
		if test.kind == engine.Timeout {
			timeout = 200 * time.Millisecond
		}
		_, err := open(t, nil, offline).call(&engine.Call{Name: "http.post", Args: args{"url": test.url, "timeout": timeout}})
		if err == nil || err.Kind != test.kind || err.Cause != test.cause || err.Maybe != test.maybe || !strings.Contains(err.Message, test.text) {
			t.Errorf("%s: got %+v", test.url, err)
		}
	}
}

func TestRedirects(t *testing.T) {
	other := echo(t)
	var s *httptest.Server
	s = httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		switch r.URL.Path {
		case "/here":
			nethttp.Redirect(w, r, "/end", nethttp.StatusFound)
		case "/away":
			nethttp.Redirect(w, r, other.URL+"/taken", nethttp.StatusFound)
		case "/away307":
			nethttp.Redirect(w, r, other.URL+"/taken", nethttp.StatusTemporaryRedirect)
		case "/loop":
			nethttp.Redirect(w, r, "/loop", nethttp.StatusFound)
		case "/metadata":
			nethttp.Redirect(w, r, "http://169.254.169.254/latest", nethttp.StatusFound)
		case "/end":
			io.WriteString(w, r.Header.Get("Authorization")+r.Header.Get("X-Key"))
		}
	}))
	defer s.Close()
	r := open(t, nil)
	secret := args{"X-Key": "k3y"}
	f := r.must(t, "http.get", args{"url": s.URL + "/here", "auth": "t0ken", "headers": secret})
	if f["url"] != s.URL+"/end" || f["body"] != "Bearer t0kenk3y" {
		t.Errorf("same origin: got %v", f)
	}
	f = r.must(t, "http.get", args{"url": s.URL + "/here", "follow": false})
	if f["status"] != int64(302) || f["headers"].(args)["location"] != "/end" {
		t.Errorf("follow = False: got %v", f)
	}
	f = r.must(t, "http.get", args{"url": s.URL + "/away?k=v", "auth": "t0ken", "headers": secret})
	if g := decode(t, f); g.URI != "/taken" || g.Header.Get("Authorization") != "" || g.Header.Get("X-Key") != "" || g.Header.Get("Referer") != "" {
		t.Errorf("another origin: got %+v", g)
	}
	f = r.must(t, "http.post", args{"url": s.URL + "/away307", "json": args{"password": "p4ss"}})
	if f["status"] != int64(307) {
		t.Errorf("a body to another origin: got %v", f)
	}
	f = r.must(t, "http.get", args{"url": s.URL + "/loop"})
	if f["status"] != int64(302) {
		t.Errorf("loop: got %v", f)
	}
	if _, err := r.call(&engine.Call{Name: "http.get", Args: args{"url": s.URL + "/metadata"}}); err == nil || err.Kind != engine.Denied {
		t.Errorf("redirect to metadata: got %+v", err)
	}
}

func TestBodyLimit(t *testing.T) {
	s := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		io.CopyN(w, zeros{}, 10<<20+1)
	}))
	defer s.Close()
	r := open(t, nil)
	if _, err := r.call(&engine.Call{Name: "http.get", Args: args{"url": s.URL}}); err == nil || err.Kind != engine.Invalid || !strings.Contains(err.Message, "larger than 10 MB") {
		t.Errorf("get: got %+v", err)
	}
	if f := r.must(t, "http.post", args{"url": s.URL}); f["truncated"] != true || len(f["body"].(string)) != 10<<20 {
		t.Errorf("post: got truncated %v, %d bytes", f["truncated"], len(f["body"].(string)))
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestConnections(t *testing.T) {
	s := echo(t)
	r := open(t, map[string]map[string]any{
		"token": {"url": s.URL + "/api", "token": "secret:token", "headers": map[string]any{"X-Plain": "a", "X-Key": "secret:pass"}},
		"basic": {"url": s.URL, "user": "ana", "password": "secret:pass"},
		"gone":  {"url": s.URL, "token": "secret:missing"},
	})
	call := func(connection, url string) (got, *engine.Error) {
		f, err := r.call(&engine.Call{Name: "http.get", Connection: connection, Args: args{"url": url}})
		if err != nil {
			return got{}, err
		}
		return decode(t, f), nil
	}
	g, err := call("token", "/lists?x=1")
	if err != nil || g.URI != "/api/lists?x=1" || g.Header.Get("Authorization") != "Bearer t0ken" || g.Header.Get("X-Plain") != "a" || g.Header.Get("X-Key") != "p4ss" {
		t.Errorf("token: got %+v, %v", g, err)
	}
	g, err = call("basic", s.URL+"/whole")
	if err != nil || g.URI != "/whole" || g.Header.Get("Authorization") != "Basic YW5hOnA0c3M=" {
		t.Errorf("basic: got %+v, %v", g, err)
	}
	for _, test := range []struct{ connection, url, text string }{
		{"token", "https://evil.example.org/", "is not at the connection's"},
		{"token", "//evil.example.org/", "is not at the connection's"},
		{"gone", "/", "connections.http.gone.token: "},
	} {
		if _, err := call(test.connection, test.url); err == nil || err.Kind != engine.Invalid || !strings.Contains(err.Message, test.text) {
			t.Errorf("%s, %s: got %+v", test.connection, test.url, err)
		}
	}
}

func TestWrongArguments(t *testing.T) {
	r := open(t, nil)
	cases := []struct {
		args args
		text string
	}{
		{args{"url": "/path"}, `http.post: url: got "/path", want http://… or https://…`},
		{args{"url": "ftp://example.org"}, "want http://"},
		{args{"url": "http://a b/"}, "http.post: url: not an address"},
		{args{"url": "https://ana:p4ss@example.org/"}, "http.post: url: has a user in it"},
		{args{"url": "https://example.org", "json": int64(1), "body": "x"}, "http.post: only one of json, form and body can be sent"},
		{args{"url": "https://example.org", "json": args{"b": engine.Bytes("x")}}, "http.post: json: a value that cannot be written as JSON"},
		{args{"url": "https://example.org", "headers": args{"X-A": "a\r\nX-B: b"}}, `http.post: headers: "X-A" has a line break or control character in its value`},
		{args{"url": "https://example.org", "headers": args{"A B": "a"}}, `http.post: headers: "A B" is not the name of a header`},
		{args{"url": "https://example.org", "headers": args{"content-length": "3"}}, "is set by the request itself"},
		{args{"url": "https://example.org", "auth": "a\nb"}, "http.post: auth: the token has a line break in it"},
		{args{"url": "https://example.org", "auth": int64(3)}, "http.post: auth: want a secret (a bearer token) or (user, secret)"},
		{args{"url": "https://example.org", "params": args{"a": args{}}}, `http.post: params: "a": want a text, a number or a list of them`},
	}
	for _, test := range cases {
		_, err := r.call(&engine.Call{Name: "http.post", Args: test.args})
		if err == nil || err.Kind != engine.Invalid || !strings.Contains(err.Message, test.text) {
			t.Errorf("%v: got %v, want %s", test.args, err, test.text)
		}
		if err != nil && strings.Contains(err.Message, "p4ss") {
			t.Errorf("the password is in the error: %v", err)
		}
	}
}

func TestConfigurationMistakes(t *testing.T) {
	cases := []struct {
		values map[string]any
		text   string
	}{
		{map[string]any{"url": "shop.example.org"}, `connections.http.shop.url: got "shop.example.org", want https or http://HOST`},
		{map[string]any{"url": "https://a:b@shop.example.org"}, "connections.http.shop.url: has a user in it"},
		{map[string]any{"url": "https://shop.example.org", "token": "abc"}, "connections.http.shop.token: want secret:NAME, not the value itself"},
		{map[string]any{"url": "https://shop.example.org", "user": "ana"}, "connections.http.shop.user: user and password belong together"},
		{map[string]any{"url": "http://shop.example.org", "fingerprint": "sha256:" + strings.Repeat("00", 32)}, "connections.http.shop.fingerprint: has no meaning without https"},
		{map[string]any{"url": "https://shop.example.org", "headers": map[string]any{"A B": "x"}}, "connections.http.shop.headers.A B: is not the name of a header"},
		{map[string]any{"url": "https://shop.example.org", "tokn": "secret:x"}, "connections.http.shop.tokn: unknown key"},
	}
	policy, _ := reach.NewPolicy(nil, nil, nil, nil)
	for _, test := range cases {
		_, err := http.Open(&reach.Env{Dialer: &reach.Dialer{Policy: policy}, Clock: engine.SystemClock{}}, map[string]map[string]any{"shop": test.values})
		if err == nil || err.Error() != test.text {
			t.Errorf("got %v, want %s", err, test.text)
		}
	}
}

// FuzzAddress: no address makes the request go to another origin than the
// connection's.
func FuzzAddress(f *testing.F) {
	for _, seed := range []string{"/x", "//evil/", "https://shop.example.org/x", "https://shop.example.org@evil/", "\\\\evil", "/%2e%2e//evil", "?x=1", "https:evil"} {
		f.Add(seed)
	}
	policy, err := reach.NewPolicy(nil, []string{"0.0.0.0/0", "::/0"}, nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	dialer := &reach.Dialer{Policy: policy}
	offline(dialer)
	m, err := http.Open(&reach.Env{Secrets: secrets{"token": "t0ken"}, Dialer: dialer, Clock: engine.SystemClock{}},
		map[string]map[string]any{"shop": {"url": "https://192.0.2.80/api", "token": "secret:token"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, address string) {
		_, err := m.Builtins[0].Do(context.Background(), &engine.Call{Name: "http.get", Connection: "shop", Args: args{"url": address}})
		e := engine.AsError(err)
		if e.Kind == engine.Invalid {
			return
		}
		if !strings.Contains(e.Message, "egress: 192.0.2.80 ") {
			t.Fatalf("%q: got %v", address, e)
		}
	})
}
