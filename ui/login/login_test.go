package login_test

import (
	"errors"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"larkspur/engine"
	"larkspur/ui/login"
	"larkspur/ui/uitest"
)

// newDevices are the devices of a world.
func newDevices(t *testing.T) (*login.Devices, *uitest.World) {
	w := uitest.Sample(t, "https://soar.example.org/")
	return &login.Devices{Reader: w, Decider: w, People: w, Cache: w, Clock: w, Path: "/"}, w
}

// pair signs somebody in by a link, and returns what their browser holds.
func pair(t *testing.T, d *login.Devices, person, agent string, former engine.Device) string {
	t.Helper()
	token, _, err := d.IssueLink(t.Context(), person, "dave")
	if err != nil {
		t.Fatal(err)
	}
	key, _, state, err := d.Pair(t.Context(), token, engine.ViaLink, "", agent, former)
	if err != nil || key == "" {
		t.Fatalf("got %q, %q, %v, want a device", key, state, err)
	}
	return key
}

func TestSignInLinkPairsOnce(t *testing.T) {
	d, w := newDevices(t)
	token, _, err := d.IssueLink(t.Context(), "dave", "ana")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // looking changes nothing
		if s, state, err := d.Find(token, engine.ViaLink); s.Person != "dave" || state != login.Fresh || err != nil {
			t.Fatalf("got %+v, %q, %v, want dave, fresh", s, state, err)
		}
	}
	if _, state, _ := d.Find(token, engine.ViaCode); state != login.Unknown {
		t.Errorf("a link passed for a code: %q", state)
	}
	key, _, _, err := d.Pair(t.Context(), token, engine.ViaLink, "", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", engine.Device{})
	if err != nil || key == "" {
		t.Fatalf("got %q, %v, want a device", key, err)
	}
	device, ok, err := d.Device(key)
	if err != nil || !ok || device.Person != "dave" || device.Name != "Firefox on Linux" || device.How != engine.ViaLink {
		t.Errorf("got %+v, %v, %v, want dave's", device, ok, err)
	}
	if again, _, state, _ := d.Pair(t.Context(), token, engine.ViaLink, "", "", engine.Device{}); again != "" || state != login.Used {
		t.Errorf("used twice: got %q, %q, want no device, used", again, state)
	}
	if _, ok, _ := d.Device(key + "a"); ok {
		t.Error("another token passed")
	}
	w.Pass(engine.DeviceLife)
	if _, ok, _ := d.Device(key); ok {
		t.Error("the pairing outlives its time")
	}
}

func TestSignInLinkStates(t *testing.T) {
	d, w := newDevices(t)
	for _, nobody := range []string{"nobody", "", "@example.org", "x y@example.org"} {
		if _, _, err := d.IssueLink(t.Context(), nobody, "dave"); engine.KindOf(err) != engine.NotFound {
			t.Errorf("a link for %q: got %v, want not_found", nobody, err)
		}
	}
	token, _, _ := d.IssueLink(t.Context(), "dave", "dave")
	if _, state, _ := d.Find("x"+token, engine.ViaLink); state != login.Unknown {
		t.Errorf("got %q, want unknown", state)
	}
	w.Pass(engine.LinkLife)
	if key, _, state, _ := d.Pair(t.Context(), token, engine.ViaLink, "", "", engine.Device{}); key != "" || state != login.Over {
		t.Errorf("got %q, want over", state)
	}
}

func TestDeviceOfWhoIsGone(t *testing.T) {
	d, w := newDevices(t)
	key := pair(t, d, "ana", "", engine.Device{})
	delete(w.Has.Persons, "ana")
	if _, ok, _ := d.Device(key); ok {
		t.Error("somebody who is not in people has a device")
	}
}

func TestSigningInAnewReplacesTheDevice(t *testing.T) {
	d, w := newDevices(t)
	key := pair(t, d, "ana", "", engine.Device{})
	former, _, _ := d.Device(key)
	w.Pass(engine.LoginLife)
	if former.Fresh(w.Now()) {
		t.Error("a sign-in of 15 minutes ago counts as one of this moment")
	}
	now, _, _ := d.Device(pair(t, d, "ana", "", former))
	if !now.Fresh(w.Now()) {
		t.Error("the new one does not")
	}
	if _, ok, _ := d.Device(key); ok {
		t.Error("the former one is still paired")
	}
}

// TestWhoseDeviceItIs: a name counts only as a key of people. Whoever else calls
// themselves like somebody is not them.
func TestWhoseDeviceItIs(t *testing.T) {
	d, _ := newDevices(t)
	dave, _, _ := d.Device(pair(t, d, "dave", "", engine.Device{}))
	carl, _, _ := d.Device(pair(t, d, "Carl@example.com", "", engine.Device{}))
	for _, tt := range []struct {
		device engine.Device
		to     engine.Addressee
		want   bool
	}{
		{dave, engine.Addressee{Name: "dave", Email: "dave@example.org"}, true},
		{dave, engine.Addressee{Name: "dave", Email: "old@example.org"}, true}, // the address was another then
		{dave, engine.Addressee{Email: "DAVE@example.org"}, true},
		{dave, engine.Addressee{Name: "ana", Email: "dave@example.org"}, false},
		{dave, engine.Addressee{}, false},
		{carl, engine.Addressee{Name: "carl@example.com", Email: "carl@example.com"}, true},
		{carl, engine.Addressee{Name: "Carl Cooper", Email: "carl@example.com"}, true},
		{carl, engine.Addressee{Name: "Carl Cooper", Email: "other@example.com"}, false},
		{carl, engine.Addressee{Name: "dave", Email: "carl@example.com"}, false}, // calls himself dave
		{carl, engine.Addressee{Name: "Carl@example.com"}, false},
		{engine.Device{}, engine.Addressee{}, false},
		{engine.Device{}, engine.Addressee{Name: "dave"}, false},
	} {
		if got := d.Belongs(tt.device, tt.to); got != tt.want {
			t.Errorf("%s for %+v: got %v, want %v", tt.device.Owner(), tt.to, got, tt.want)
		}
	}
	if got, want := d.OwnerOf(engine.Addressee{Name: "dave", Email: "evil@example.com"}), (login.Owner{Person: "dave", Email: "dave@example.org"}); got != want {
		t.Errorf("a code for dave goes to %+v, want %+v", got, want)
	}
}

func TestBrowsersInWords(t *testing.T) {
	d, _ := newDevices(t)
	for agent, want := range map[string]string{
		"Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36":                          "Chrome on Android",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604": "Safari on an iPhone",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0":         "Edge on Windows",
		"curl/8.0": "a browser", "": "a browser",
	} {
		if device, _, _ := d.Device(pair(t, d, "dave", agent, engine.Device{})); device.Name != want {
			t.Errorf("%q: got %q, want %q", agent, device.Name, want)
		}
	}
}

func TestRights(t *testing.T) {
	tests := []struct {
		role string
		may  string
	}{
		{engine.RoleViewer, "see"},
		{engine.RoleApprover, "see answer"},
		{engine.RoleResponder, "see answer work"},
		{engine.RoleEngineer, "see answer work steer"},
		{engine.RoleAuditor, "see audit"},
		{engine.RoleAdmin, "see answer any work steer audit govern"},
		{"root", ""},
	}
	all := []login.Right{login.See, login.Answer, login.AnyAsked, login.Work, login.Steer, login.Audit, login.Govern}
	for _, tt := range tests {
		who := login.Identity{Name: "ana", Role: tt.role}
		var may []string
		for _, r := range all {
			if who.May(r) {
				may = append(may, string(r))
			}
		}
		if got := strings.Join(may, " "); got != tt.may {
			t.Errorf("%s: got %q, want %q", tt.role, got, tt.may)
		}
	}
	if (login.Identity{Role: engine.RoleAdmin}).May(login.See) {
		t.Error("nobody may see")
	}
}

func TestBearerTokens(t *testing.T) {
	d, w := newDevices(t)
	token, err := login.NewToken("ci", engine.RoleAdmin, "a-long-enough-secret")
	if err != nil {
		t.Fatal(err)
	}
	a := &login.Access{Devices: d, Tokens: func() []login.Token { return []login.Token{token} }, Limiter: login.NewLimiter(w)}
	try := func(from, header string) (login.Request, error) {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = from
		r.Header.Set("Authorization", header)
		return a.Authenticate(r)
	}
	if who, err := try("192.0.2.7:1", "Bearer a-long-enough-secret"); err != nil || who.Name != "ci" || who.How != "api" {
		t.Errorf("got %+v, %v, want ci", who, err)
	}
	if _, err := try("192.0.2.7:1", "Basic eDp5"); !unauthenticated(err) {
		t.Errorf("Basic: got %v, want unauthenticated", err)
	}
	for range login.BadPerWindow {
		if _, err := try("192.0.2.7:1", "Bearer wrong"); !unauthenticated(err) {
			t.Fatalf("got %v, want unauthenticated", err)
		}
	}
	if _, err := try("192.0.2.7:2", "Bearer a-long-enough-secret"); err == nil {
		t.Error("a guessing client is not slowed down")
	}
	if _, err := try("192.0.2.8:1", "Bearer a-long-enough-secret"); err != nil {
		t.Errorf("another client: got %v, want no error", err)
	}
	w.Pass(login.BadWindow)
	if _, err := try("192.0.2.7:2", "Bearer a-long-enough-secret"); err != nil {
		t.Errorf("after the window: got %v, want no error", err)
	}
}

func unauthenticated(err error) bool {
	var nobody *login.Unauthenticated
	return errors.As(err, &nobody)
}

func TestNewTokenRefuses(t *testing.T) {
	for _, tt := range []struct{ role, secret, want string }{
		{"admin", "short", "web.tokens.ci: the secret has 5 characters, want at least 16"},
		{"king", "a-long-enough-secret", `web.tokens.ci.role: got "king", want viewer, approver, responder, engineer, auditor or admin`},
	} {
		if _, err := login.NewToken("ci", tt.role, tt.secret); err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

func TestLimiterIsBounded(t *testing.T) {
	l := login.NewLimiter(uitest.New(t, "https://soar.example.org/"))
	addr := netip.MustParseAddr("2001:db8::")
	for i := range 20_000 {
		b := addr.As16()
		b[5], b[6], b[7] = byte(i>>16), byte(i>>8), byte(i)
		l.Bad(netip.AddrFrom16(b))
	}
	if got := l.Len(); got > 4096 {
		t.Errorf("got %d clients remembered, want at most 4096", got)
	}
}

func TestClientAddr(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for _, tt := range []struct{ peer, forwarded, want string }{
		{"192.0.2.7:1", "", "192.0.2.7"},
		{"192.0.2.7:1", "198.51.100.1", "192.0.2.7"}, // not a proxy of ours
		{"127.0.0.1:1", "198.51.100.1", "198.51.100.1"},
		{"127.0.0.1:1", "203.0.113.9, 198.51.100.1", "198.51.100.1"}, // the client wrote the first
		{"127.0.0.1:1", "rubbish", "127.0.0.1"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = tt.peer
		if tt.forwarded != "" {
			r.Header.Set("X-Forwarded-For", tt.forwarded)
		}
		if got := login.ClientAddr(r, trusted).String(); got != tt.want {
			t.Errorf("%s via %q: got %s, want %s", tt.peer, tt.forwarded, got, tt.want)
		}
	}
}

func TestFormTokens(t *testing.T) {
	a, b := login.FormToken("secret", "session"), login.FormToken("secret", "session")
	if a == b {
		t.Error("two tokens are equal: the mask is missing")
	}
	for _, tt := range []struct {
		token, secret, purpose string
		want                   bool
	}{
		{a, "secret", "session", true},
		{b, "secret", "session", true},
		{a, "other", "session", false},
		{a, "secret", "question", false},
		{a + "A", "secret", "session", false},
		{"", "secret", "session", false},
		{login.FormToken("", "session"), "", "session", false},
	} {
		if got := login.ValidFormToken(tt.token, tt.secret, tt.purpose); got != tt.want {
			t.Errorf("ValidFormToken(%q, %q, %q): got %v, want %v", tt.token, tt.secret, tt.purpose, got, tt.want)
		}
	}
}

func TestSameOrigin(t *testing.T) {
	base, _ := url.Parse("https://soar.example.org/larkspur/")
	for _, tt := range []struct {
		site, origin string
		ok           bool
	}{
		{"", "", true},
		{"same-origin", "null", true},
		{"none", "", true},
		{"cross-site", "https://soar.example.org", false},
		{"same-site", "https://evil.example.org", false},
		{"", "https://soar.example.org", true},
		{"", "null", true},
		{"", "https://evil.example.org", false},
		{"", "http://192.0.2.1:8420", true}, // opened by its address, on the LAN
	} {
		r := httptest.NewRequest("POST", "http://192.0.2.1:8420/a/x", nil)
		r.Header.Set("Sec-Fetch-Site", tt.site)
		r.Header.Set("Origin", tt.origin)
		if err := login.SameOrigin(r, base); (err == nil) != tt.ok {
			t.Errorf("site %q, origin %q: got %v, want ok %v", tt.site, tt.origin, err, tt.ok)
		}
	}
}

func FuzzClientAddr(f *testing.F) {
	f.Add("192.0.2.7:1", "198.51.100.1, ::1", "token")
	f.Add("[2001:db8::1%eth0]:1", ",,", "")
	trusted := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	l := login.NewLimiter(uitest.New(f, "https://soar.example.org/"))
	f.Fuzz(func(t *testing.T, peer, forwarded, token string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = peer
		r.Header["X-Forwarded-For"] = []string{forwarded}
		l.Bad(login.ClientAddr(r, trusted))
		if login.ValidFormToken(token, "the secret of this form", "p") {
			t.Errorf("%q passed for a form's token", token)
		}
	})
}
