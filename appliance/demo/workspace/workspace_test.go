package workspace

import (
	"context"
	"errors"
	"testing"

	"larkspur/appliance/config"
	"larkspur/builtins"
	"larkspur/engine"
	"larkspur/engine/runner"
	"larkspur/engine/sandbox"
	"larkspur/engine/sandbox/sandboxtest"
	"larkspur/engine/wire"
	"larkspur/scripts"
	"larkspur/scripts/library"
)

var values = Values{
	Listen: "127.0.0.1:8420", URL: "http://127.0.0.1:8420",
	UnifiURL: "https://127.0.0.1:8443", UnifiFingerprint: "sha256:" + pin, UnifiUser: "soar", UnifiPassword: "one",
	MailHost: "127.0.0.1", MailPort: 2525, MailFingerprint: "sha256:" + pin, MailUser: "soar", MailPassword: "two",
}

const pin = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// pool runs the real worker until the test ends.
func pool(t *testing.T) *sandbox.Pool {
	t.Helper()
	p, err := sandbox.Open(sandbox.Config{
		Binary: sandboxtest.Binary(t),
		Hello: wire.Hello{
			Engine: "test", Signatures: append(runner.Signatures(), builtins.Signatures()...),
			HashKeys: map[string][]byte{"k": []byte("key")}, HashKey: "k",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Run(context.Background()) }()
	t.Cleanup(func() {
		if err := errors.Join(p.Close(), <-ended); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestWrittenWorkspaceIsGood(t *testing.T) {
	dir, p := t.TempDir(), pool(t)
	shop := values
	shop.ShopURL, shop.ShopPort, shop.ShopUser, shop.ShopKey, shop.ShopKnown = "http://127.0.0.1:8081/", 2222, "larkspur", "a key", ""
	desk := shop
	desk.HookSecret = "a secret of sixteen"
	for when, v := range map[string]Values{"alone": values, "with the shop": shop, "with the desk": desk} {
		if err := Write(dir, v); err != nil {
			t.Fatal(err)
		}
		problems, err := config.Check(t.Context(), dir, library.Files(), p)
		if err != nil || len(problems) > 0 {
			t.Errorf("%s: got %v, %v, want no problem at all", when, problems, err)
		}
	}
	c, _ := config.Load(dir)
	if c.People["dave"].Role != engine.RoleAdmin || c.Connections["smtp"]["default"]["port"] != int64(2525) || c.Box.URL != values.URL {
		t.Errorf("got %v, %v, %v", c.People, c.Connections, c.Box)
	}
}

func TestRuleMatchesNetflix(t *testing.T) {
	dir := t.TempDir()
	if err := Write(dir, values); err != nil {
		t.Fatal(err)
	}
	source := &config.Source{Dir: dir}
	live, err := (&scripts.Loader{Dir: dir, Worker: pool(t), Library: library.Files(), Settings: source.Settings, Clock: engine.SystemClock{}}).Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"www.netflix.com": 1, "a.nflxvideo.net": 1, "notnetflix.com": 0, "netflix.com.evil.example": 0} {
		e := &engine.Event{Kind: "dns", Fields: map[string]engine.Value{"query": name, "client": "192.0.2.7", "proto": "udp"}}
		if got := len(live.Rules.Match(e)); got != want {
			t.Errorf("%s: got %d hits, want %d", name, got, want)
		}
	}
}
