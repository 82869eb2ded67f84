package login

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"larkspur/engine"
)

// Cache keeps sessions and set-up links; the cache store implements it. A value
// may vanish at any time.
type Cache interface {
	// Get returns found false for a key that is absent or over its time.
	Get(key string) (value []byte, found bool, err error)
	Set(key string, value []byte, ttl time.Duration) error
	Delete(key string) error
}

// People tells who is who; it is asked at every request, so that a changed role
// counts at once.
type People interface {
	// Person returns an entry of people with its effective role ("admin" only
	// for names in box.yaml's admins).
	Person(name string) (engine.Person, bool)
	// Teams returns the teams that a person is in.
	Teams(name string) []string
}

// Recorder writes sign-ins to the ledger.
type Recorder interface {
	Login(ctx context.Context, who, how string) error
	Logout(ctx context.Context, who string) error
}

// Lifetimes.
const (
	SessionLife = 30 * 24 * time.Hour
	SetupLife   = time.Hour
	// setupMemory is how long a used or expired set-up link is still explained.
	setupMemory = 7 * 24 * time.Hour
)

// CookieName is the name of the session's cookie.
const CookieName = "larkspur_session"

// Sessions makes and reads browser sessions. Safe for concurrent use.
type Sessions struct {
	Cache    Cache
	People   People
	Recorder Recorder
	Clock    engine.Clock
	// Path and Secure are the cookie's: the base path, and whether the
	// configured URL is https.
	Path   string
	Secure bool

	mu sync.Mutex // one set-up link is consumed at a time
}

type session struct {
	Person  string    `json:"person"`
	Created time.Time `json:"created"`
}

// newToken returns 160 random bits, short enough for a URL.
func newToken() string {
	b := make([]byte, 20)
	rand.Read(b) // never fails, crypto/rand
	return tokenEncoding().EncodeToString(b)
}

func tokenEncoding() *base32.Encoding {
	return base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
}

// stored is the key under which a token is kept: its hash, so that a stolen
// cache signs nobody in.
func stored(class, token string) string {
	sum := sha256.Sum256([]byte(token))
	return class + "/" + hex.EncodeToString(sum[:])
}

// Begin starts a session of a person and returns its token.
func (s *Sessions) Begin(person string) (string, error) {
	token := newToken()
	value, err := json.Marshal(session{Person: person, Created: s.Clock.Now()})
	if err != nil {
		return "", engine.WrapError(engine.Internal, err, "session")
	}
	if err := s.Cache.Set(stored("session", token), value, SessionLife); err != nil {
		return "", engine.WrapError(engine.Unavailable, err, "session: storing")
	}
	return token, nil
}

// Identity returns who a session's token stands for; ok is false for one that
// is unknown, over, or of somebody who is in people no more.
func (s *Sessions) Identity(token string) (who Identity, ok bool, err error) {
	if token == "" || len(token) > 100 {
		return Identity{}, false, nil
	}
	value, found, err := s.Cache.Get(stored("session", token))
	if err != nil {
		return Identity{}, false, engine.WrapError(engine.Unavailable, err, "session: reading")
	}
	var kept session
	if !found || json.Unmarshal(value, &kept) != nil ||
		s.Clock.Now().Sub(kept.Created) > SessionLife {
		return Identity{}, false, nil
	}
	p, known := s.People.Person(kept.Person)
	if !known {
		return Identity{}, false, nil
	}
	return Identity{
		Name: kept.Person, Email: p.Email, Role: p.Role,
		Teams: s.People.Teams(kept.Person), How: "page",
	}, true, nil
}

// End ends a session and records it.
func (s *Sessions) End(ctx context.Context, token, person string) error {
	if err := s.Cache.Delete(stored("session", token)); err != nil {
		return engine.WrapError(engine.Unavailable, err, "session: deleting")
	}
	return s.Recorder.Logout(ctx, person)
}

// Cookie is the session's cookie; an empty token deletes it.
func (s *Sessions) Cookie(token string) *http.Cookie {
	c := &http.Cookie{
		Name: CookieName, Value: token, Path: s.Path, Secure: s.Secure,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(SessionLife / time.Second),
	}
	if token == "" {
		c.MaxAge = -1
	}
	return c
}

// SetupState is how a set-up link stands.
type SetupState string

// The states.
const (
	SetupFresh   SetupState = "fresh"
	SetupUsed    SetupState = "used"
	SetupExpired SetupState = "expired"
	SetupUnknown SetupState = "unknown"
)

type setup struct {
	Person  string    `json:"person"`
	Expires time.Time `json:"expires"`
	Used    time.Time `json:"used,omitzero"`
}

// Issue makes a one-time set-up link's token for a person of `people`. Errors:
// not_found.
func (s *Sessions) Issue(person string) (token string, expires time.Time, err error) {
	if _, known := s.People.Person(person); !known {
		return "", time.Time{}, engine.Errorf(engine.NotFound, "sign-in link: nobody in people is called %q", person).
			WithHint("Add the person under people in larkspur.yaml, or check the spelling.")
	}
	token = newToken()
	expires = s.Clock.Now().Add(SetupLife)
	return token, expires, s.keepSetup(token, setup{Person: person, Expires: expires})
}

func (s *Sessions) keepSetup(token string, link setup) error {
	value, err := json.Marshal(link)
	if err != nil {
		return engine.WrapError(engine.Internal, err, "sign-in link")
	}
	if err := s.Cache.Set(stored("setup", token), value, setupMemory); err != nil {
		return engine.WrapError(engine.Unavailable, err, "sign-in link: storing")
	}
	return nil
}

// Setup looks at a set-up link and changes nothing.
func (s *Sessions) Setup(token string) (person string, state SetupState, err error) {
	link, state, err := s.setup(token)
	return link.Person, state, err
}

func (s *Sessions) setup(token string) (setup, SetupState, error) {
	var link setup
	if token == "" || len(token) > 100 {
		return link, SetupUnknown, nil
	}
	value, found, err := s.Cache.Get(stored("setup", token))
	if err != nil {
		return link, SetupUnknown, engine.WrapError(engine.Unavailable, err, "sign-in link: reading")
	}
	switch {
	case !found || json.Unmarshal(value, &link) != nil:
		return setup{}, SetupUnknown, nil
	case !link.Used.IsZero():
		return link, SetupUsed, nil
	case !s.Clock.Now().Before(link.Expires):
		return link, SetupExpired, nil
	}
	return link, SetupFresh, nil
}

// Consume uses a set-up link: it records the sign-in and begins a session. The
// state is SetupFresh when it did; any other state changed nothing.
func (s *Sessions) Consume(ctx context.Context, token string) (session string, state SetupState, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	link, state, err := s.setup(token)
	if err != nil || state != SetupFresh {
		return "", state, err
	}
	if _, known := s.People.Person(link.Person); !known {
		return "", SetupExpired, nil
	}
	link.Used = s.Clock.Now()
	if err := s.keepSetup(token, link); err != nil {
		return "", state, err
	}
	if err := s.Recorder.Login(ctx, link.Person, "link"); err != nil {
		return "", state, engine.WrapError(engine.Unavailable, err, "recording the sign-in")
	}
	session, err = s.Begin(link.Person)
	return session, state, err
}
