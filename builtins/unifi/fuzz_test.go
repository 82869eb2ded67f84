package unifi

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"testing"

	"larkspur/engine"
)

// FuzzAnswer: whatever a controller answers becomes data or an error with a kind,
// and clients that can be recorded.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"meta":{"rc":"ok"},"data":[{"mac":"02:00:00:00:00:07","name":"x","last_seen":1795000000,"blocked":true}]}`,
		`{"meta":{"rc":"error","msg":"api.err.LoginRequired"},"data":[]}`,
		`{"code":"AUTHENTICATION_FAILED_LIMIT_REACHED","errorCode":429}`,
		`{"meta":{"rc":"ok"},"data":[{"mac":7},{"mac":"02:00:00:00:00:08","name":{},"last_seen":"soon"},null]}`,
		`<html>starting</html>`, ``, `[]`, `{"meta":[]}`,
	} {
		f.Add(200, seed)
	}
	c := &controller{settingsOf: settingsOf{connection: "home", url: &url.URL{Host: "192.0.2.1"}, key: "connections.unifi.home", site: "default"}}
	f.Fuzz(func(t *testing.T, status int, body string) {
		a := answer{status: status, body: []byte(body)}
		if e := c.loginFault(a); e != nil && e.Kind == engine.Internal {
			t.Fatalf("%d %q: login: got %v", status, body, e)
		}
		a.refusesSession(unifiOS)
		data, err := c.data(a, "stat/sta")
		if err != nil {
			if engine.KindOf(err) == engine.Internal {
				t.Fatalf("%d %q: got %v", status, body, err)
			}
			return
		}
		list, err := decodeStations(data)
		if err != nil && engine.KindOf(err) != engine.Unavailable {
			t.Fatalf("%q: got %v", body, err)
		}
		for _, s := range list {
			if _, err := engine.Encode(s.value()); err != nil {
				t.Fatalf("%q: %v", body, err)
			}
			if mac, err := parseMAC(s.MAC); err != nil || mac != s.MAC {
				t.Fatalf("%q: got MAC %q", body, s.MAC)
			}
		}
		best(list, who{name: "x"})
	})
}

// FuzzToken: no token makes the CSRF header malformed.
func FuzzToken(f *testing.F) {
	payload := func(s string) string { return "a." + base64.RawURLEncoding.EncodeToString([]byte(s)) + ".c" }
	for _, seed := range []string{payload(`{"csrfToken":"abc"}`), payload(`{"csrfToken":"a\r\nb"}`), payload(`{"csrfToken":7}`), "a.b.c", "..", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if csrf := csrfOf(token); !headerSafe(csrf) {
			t.Fatalf("%q: got %q", token, csrf)
		}
	})
}

func TestTokenOfAJWT(t *testing.T) {
	text, err := json.Marshal(map[string]any{"csrfToken": "7f3a", "userId": "x"})
	if err != nil {
		t.Fatal(err)
	}
	for encoded, want := range map[string]string{
		"h." + base64.RawURLEncoding.EncodeToString(text) + ".s": "7f3a",
		"h." + base64.URLEncoding.EncodeToString(text) + ".s":    "7f3a",
		"h.!!.s": "",
		"7f3a":   "",
	} {
		if got := csrfOf(encoded); got != want {
			t.Errorf("%s: got %q, want %q", encoded, got, want)
		}
	}
}
