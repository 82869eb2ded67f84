package controller

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

const mac = "02:00:00:00:00:07"

func start(t *testing.T, o Options) (*Controller, *http.Client) {
	t.Helper()
	o.User, o.Password = "soar", "secret"
	o.Clients = []Client{{MAC: mac, Name: "Ana's <tablet>", IP: netip.MustParseAddr("192.0.2.7"), Online: true}}
	c, err := Open(o)
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
	return c, &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ask sends one request with headers given as pairs.
func ask(t *testing.T, client *http.Client, method, url, body string, header ...string) (*http.Response, map[string]any) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	json.NewDecoder(bytes.NewReader(text)).Decode(&v)
	return resp, v
}

func cookie(t *testing.T, resp *http.Response) string {
	t.Helper()
	if len(resp.Cookies()) != 1 {
		t.Fatalf("got cookies %v", resp.Cookies())
	}
	return resp.Cookies()[0].Name + "=" + resp.Cookies()[0].Value
}

func TestWhichKind(t *testing.T) {
	for os, want := range map[bool]int{false: http.StatusFound, true: http.StatusOK} {
		c, client := start(t, Options{OS: os})
		if resp, _ := ask(t, client, "GET", c.URL()+"/", ""); resp.StatusCode != want {
			t.Errorf("OS %v: got %d, want %d", os, resp.StatusCode, want)
		}
	}
}

func TestClassicSession(t *testing.T) {
	c, client := start(t, Options{})
	resp, v := ask(t, client, "GET", c.URL()+"/api/s/default/stat/sta", "")
	if resp.StatusCode != 401 || v["meta"].(map[string]any)["msg"] != "api.err.LoginRequired" {
		t.Errorf("without a session: got %d %v", resp.StatusCode, v)
	}
	if resp, v = ask(t, client, "POST", c.URL()+"/api/login", `{"username":"soar","password":"wrong"}`); resp.StatusCode != 400 || v["meta"].(map[string]any)["msg"] != "api.err.Invalid" {
		t.Errorf("wrong password: got %d %v", resp.StatusCode, v)
	}
	resp, _ = ask(t, client, "POST", c.URL()+"/api/login", `{"username":"soar","password":"secret"}`)
	session := cookie(t, resp)
	for _, path := range []string{"stat/sta", "stat/sta/", "rest/user", "list/user", "stat/alluser"} {
		if _, v = ask(t, client, "GET", c.URL()+"/api/s/default/"+path, "", "Cookie", session); len(v["data"].([]any)) != 1 {
			t.Errorf("%s: got %v", path, v)
		}
	}
	if _, v = ask(t, client, "GET", c.URL()+"/api/s/attic/stat/sta", "", "Cookie", session); v["meta"].(map[string]any)["msg"] != "api.err.NoSiteContext" {
		t.Errorf("another site: got %v", v)
	}
	if _, v = ask(t, client, "POST", c.URL()+"/api/s/default/cmd/stamgr", `{"cmd":"block-sta","mac":"`+mac+`"}`, "Cookie", session); v["meta"].(map[string]any)["rc"] != "ok" || !c.Blocked(mac) {
		t.Errorf("block: got %v", v)
	}
	if _, v = ask(t, client, "POST", c.URL()+"/api/s/default/cmd/stamgr", `{"cmd":"block-sta","mac":"02:00:00:00:00:99"}`, "Cookie", session); v["meta"].(map[string]any)["msg"] != "api.err.UnknownStation" {
		t.Errorf("unknown client: got %v", v)
	}
	if log := c.Commands(); len(log) != 2 || log[0].Name != "block-sta" || log[0].By != "soar" || log[0].Answer != "ok" || log[1].Answer != "api.err.UnknownStation" {
		t.Errorf("got log %+v", log)
	}
}

func TestOSDemandsAndRotatesCSRF(t *testing.T) {
	c, client := start(t, Options{OS: true})
	resp, _ := ask(t, client, "POST", c.URL()+"/api/auth/login", `{"username":"soar","password":"secret"}`)
	session, csrf := cookie(t, resp), resp.Header.Get("X-CSRF-Token")
	url, body := c.URL()+"/proxy/network/api/s/default/cmd/stamgr", `{"cmd":"kick-sta","mac":"`+mac+`"}`
	if resp, _ = ask(t, client, "POST", url, body, "Cookie", session); resp.StatusCode != 403 {
		t.Errorf("without a token: got %d, want 403", resp.StatusCode)
	}
	resp, _ = ask(t, client, "POST", url, body, "Cookie", session, "X-CSRF-Token", csrf)
	next := resp.Header.Get("X-Updated-CSRF-Token")
	if resp.StatusCode != 200 || next == "" || next == csrf {
		t.Errorf("with a token: got %d, next %q", resp.StatusCode, next)
	}
	if resp, _ = ask(t, client, "POST", url, body, "Cookie", session, "X-CSRF-Token", csrf); resp.StatusCode != 403 {
		t.Errorf("with a used token: got %d, want 403", resp.StatusCode)
	}
	if resp, _ = ask(t, client, "GET", c.URL()+"/proxy/network/v2/api/site/default/clients/active", "", "Cookie", session); resp.StatusCode != 200 {
		t.Errorf("version 2: got %d", resp.StatusCode)
	}
}

func TestTooManyWrongPasswords(t *testing.T) {
	c, client := start(t, Options{OS: true})
	for range maxFailures {
		ask(t, client, "POST", c.URL()+"/api/auth/login", `{"username":"soar","password":"wrong"}`)
	}
	if resp, v := ask(t, client, "POST", c.URL()+"/api/auth/login", `{"username":"soar","password":"secret"}`); resp.StatusCode != 429 || v["code"] != "AUTHENTICATION_FAILED_LIMIT_REACHED" {
		t.Errorf("got %d %v", resp.StatusCode, v)
	}
}

func TestPage(t *testing.T) {
	c, err := Open(Options{OS: true, Clients: []Client{{MAC: mac, Name: "Ana's <tablet>", Blocked: true}}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.perform("block-sta", mac, "soar")
	w := httptest.NewRecorder()
	c.Page().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	page := w.Body.String()
	for _, want := range []string{"simulated UniFi OS console", "Ana&#39;s &lt;tablet&gt;", `<span class="bad">blocked</span>`, "<td>block-sta</td>", mac} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}

func TestLogIsBounded(t *testing.T) {
	c, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range maxCommands + 10 {
		c.perform("kick-sta", mac, "soar")
	}
	if n := len(c.Commands()); n != maxCommands {
		t.Errorf("got %d commands, want %d", n, maxCommands)
	}
}
