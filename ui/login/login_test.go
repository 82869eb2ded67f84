package login_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/ui/login"
)

// clock stands still until it is set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *clock) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

type cache struct {
	mu   sync.Mutex
	kept map[string][]byte
}

func (c *cache) Get(key string) ([]byte, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.kept[key]
	return v, ok, nil
}

func (c *cache) Set(key string, value []byte, _ time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept[key] = value
	return nil
}

func (c *cache) Delete(key string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.kept, key)
	return nil
}

type people map[string]engine.Person

func (p people) Person(name string) (engine.Person, bool) { who, ok := p[name]; return who, ok }
func (p people) Teams(string) []string                    { return []string{"family"} }

type recorder struct {
	mu  sync.Mutex
	log []string
}

func (r *recorder) Login(_ context.Context, who, how string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, "login "+who+" "+how)
	return nil
}

func (r *recorder) Logout(_ context.Context, who string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, "logout "+who)
	return nil
}

func newSessions() (*login.Sessions, *clock, *cache, *recorder) {
	c := &clock{now: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)}
	k := &cache{kept: map[string][]byte{}}
	r := &recorder{}
	return &login.Sessions{
		Cache: k, Recorder: r, Clock: c, Path: "/",
		People: people{"dave": {Name: "dave", Email: "dave@example.org", Role: engine.RoleAdmin}},
	}, c, k, r
}

func TestSetupLinkSignsInOnce(t *testing.T) {
	s, _, k, rec := newSessions()
	token, _, err := s.Issue("dave")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // looking changes nothing
		if who, state, err := s.Setup(token); who != "dave" || state != login.SetupFresh || err != nil {
			t.Fatalf("got %q, %q, %v, want dave, fresh", who, state, err)
		}
	}
	session, state, err := s.Consume(t.Context(), token)
	if err != nil || state != login.SetupFresh {
		t.Fatalf("got %q, %v, want fresh", state, err)
	}
	who, ok, err := s.Identity(session)
	if err != nil || !ok || who.Name != "dave" || who.Role != engine.RoleAdmin || !who.InTeam("family") {
		t.Errorf("got %+v, %v, %v, want dave the admin", who, ok, err)
	}
	if again, state, _ := s.Consume(t.Context(), token); again != "" || state != login.SetupUsed {
		t.Errorf("used twice: got %q, %q, want no session, used", again, state)
	}
	for key, value := range k.kept {
		if strings.Contains(key+string(value), session) || strings.Contains(key+string(value), token) {
			t.Errorf("the cache holds a token in the clear under %q", key)
		}
	}
	if err := s.End(t.Context(), session, "dave"); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := s.Identity(session); ok {
		t.Error("the session outlives its logout")
	}
	if got, want := strings.Join(rec.log, ", "), "login dave link, logout dave"; got != want {
		t.Errorf("recorded: got %q, want %q", got, want)
	}
}

func TestSetupLinkIsUsedOnceByMany(t *testing.T) {
	s, _, _, _ := newSessions()
	token, _, _ := s.Issue("dave")
	var wg sync.WaitGroup
	var mu sync.Mutex
	begun := 0
	for range 20 {
		wg.Go(func() {
			session, _, err := s.Consume(t.Context(), token)
			mu.Lock()
			defer mu.Unlock()
			if err == nil && session != "" {
				begun++
			}
		})
	}
	wg.Wait()
	if begun != 1 {
		t.Errorf("got %d sessions of one link, want 1", begun)
	}
}

func TestSetupLinkStates(t *testing.T) {
	s, c, _, _ := newSessions()
	if _, _, err := s.Issue("nobody"); engine.KindOf(err) != engine.NotFound {
		t.Errorf("a link for nobody: got %v, want not_found", err)
	}
	token, _, _ := s.Issue("dave")
	if _, state, _ := s.Setup("x" + token); state != login.SetupUnknown {
		t.Errorf("got %q, want unknown", state)
	}
	c.add(login.SetupLife)
	if _, state, _ := s.Consume(t.Context(), token); state != login.SetupExpired {
		t.Errorf("got %q, want expired", state)
	}
}

func TestSessionEnds(t *testing.T) {
	s, c, _, _ := newSessions()
	token, _ := s.Begin("dave")
	c.add(login.SessionLife + time.Second)
	if _, ok, _ := s.Identity(token); ok {
		t.Error("a session outlives its time")
	}
	gone, _ := s.Begin("eve")
	if _, ok, _ := s.Identity(gone); ok {
		t.Error("somebody who is not in people has a session")
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
	s, c, _, _ := newSessions()
	token, err := login.NewToken("ci", engine.RoleAdmin, "a-long-enough-secret")
	if err != nil {
		t.Fatal(err)
	}
	a := &login.Access{Sessions: s, Tokens: func() []login.Token { return []login.Token{token} }, Limiter: login.NewLimiter(c)}
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
	c.add(login.BadWindow)
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
	l := login.NewLimiter(&clock{})
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
	l := login.NewLimiter(&clock{})
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
