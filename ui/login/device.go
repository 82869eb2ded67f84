package login

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"larkspur/engine"
)

// Cache keeps what may vanish at any time: when a device was last seen.
type Cache interface {
	// Get returns found false for a key that is absent or over its time.
	Get(key string) (value []byte, found bool, err error)
	Set(key string, value []byte, ttl time.Duration) error
}

// People tells who is who; it is asked at every request, so that a changed role
// counts at once.
type People interface {
	// Person returns an entry of people with its effective role ("admin" only
	// for names in box.yaml's admins).
	Person(name string) (engine.Person, bool)
	// Teams returns the teams that a person is in.
	Teams(name string) []string
	// Named finds the key of people for what somebody types: the key itself, or the
	// address, whatever their case.
	Named(typed string) (string, bool)
}

// Reader finds what the ledger holds of sign-ins and devices. Errors: not_found.
type Reader interface {
	SignIn(sum string) (engine.SignIn, error)
	DeviceByKey(sum string) (engine.Device, error)
}

// Decider hands sign-ins to the ledger. When a method returns, Reader sees it.
type Decider interface {
	// CanMail says why a code cannot be mailed now.
	CanMail() error
	OfferSignIn(ctx context.Context, s engine.SignIn, by string) (engine.Decision, error)
	PairDevice(ctx context.Context, p engine.Pairing) (device string, d engine.Decision, err error)
	RevokeDevice(ctx context.Context, device, by, how, why string) (engine.Decision, error)
}

// CookieName is the name of the cookie that a paired browser holds; CodeCookie of
// that of one which waits for a code.
const (
	CookieName = "larkspur_device"
	CodeCookie = "larkspur_signin"
)

// Devices pairs browsers with people. The ledger decides; what a browser or a link
// holds is a token, of which the ledger knows the hash. Safe for concurrent use.
type Devices struct {
	Reader  Reader
	Decider Decider
	People  People
	Cache   Cache
	Clock   engine.Clock
	// Path and Secure are the cookies': the base path, and whether the
	// configured URL is https.
	Path   string
	Secure bool
}

// Owner is somebody who may sign in: a key of people, or, without one, an address.
type Owner struct{ Person, Email string }

// newToken returns 160 random bits, short enough for a URL.
func newToken() string {
	b := make([]byte, 20)
	rand.Read(b) // never fails, crypto/rand
	return base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding).EncodeToString(b)
}

// sumOf is how the ledger knows a token; "" for what cannot be one.
func sumOf(token string) string {
	if token == "" || len(token) > 100 {
		return ""
	}
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

func missing(err error) bool { return err != nil && engine.KindOf(err) == engine.NotFound }

// State is how a sign-in stands.
type State string

// The states.
const (
	Fresh   State = "fresh"
	Used    State = "used"
	Over    State = "over"
	Spent   State = "spent" // by wrong codes
	Unknown State = "unknown"
)

// Find looks at a sign-in by its token and changes nothing. how is what it has to be.
func (d *Devices) Find(token, how string) (engine.SignIn, State, error) {
	sum := sumOf(token)
	if sum == "" {
		return engine.SignIn{}, Unknown, nil
	}
	s, err := d.Reader.SignIn(sum)
	switch {
	case missing(err) || err == nil && s.How != how:
		return engine.SignIn{}, Unknown, nil
	case err != nil:
		return s, Unknown, err
	case s.Device != "":
		return s, Used, nil
	case !d.Clock.Now().Before(s.Expires):
		return s, Over, nil
	case s.Tries >= engine.CodeTries:
		return s, Spent, nil
	}
	return s, Fresh, nil
}

// IssueLink makes the token of a one-time sign-in link, for a person of people or
// for an address. Errors: not_found.
func (d *Devices) IssueLink(ctx context.Context, whom, by string) (token string, expires time.Time, err error) {
	to := Owner{}
	if p, known := d.People.Person(whom); known {
		to = Owner{whom, p.Email}
	} else if at := strings.LastIndexByte(whom, '@'); at > 0 && at < len(whom)-1 && !strings.ContainsAny(whom, " <>,\r\n") {
		to.Email = whom
	} else {
		return "", expires, engine.Errorf(engine.NotFound, "sign-in link: nobody in people is called %q", whom).
			WithHint("Add the person under people in larkspur.yaml, or check the spelling; who is not there signs in by an address.")
	}
	token, expires = newToken(), d.Clock.Now().Add(engine.LinkLife)
	return token, expires, d.offer(ctx, engine.SignIn{Token: sumOf(token), Person: to.Person, Email: to.Email, How: engine.ViaLink, Expires: expires}, by)
}

// SendCode mails a code to somebody's own address and returns the token that the
// browser has to hold when it is typed. For nobody it does the same, without a mail.
func (d *Devices) SendCode(ctx context.Context, to Owner) (token string, err error) {
	token = newToken()
	return token, d.offer(ctx, engine.SignIn{
		Token: sumOf(token), Person: to.Person, Email: to.Email, How: engine.ViaCode, Expires: d.Clock.Now().Add(engine.CodeLife),
	}, "")
}

func (d *Devices) offer(ctx context.Context, s engine.SignIn, by string) error {
	done, err := d.Decider.OfferSignIn(ctx, s, by)
	if err == nil && !done.Applied {
		err = engine.Errorf(engine.Conflict, "sign-in: %s", done.Why)
	}
	return err
}

// Pair uses a sign-in: by its token and, if it is a code, what was typed. agent is
// the browser's own word on what it is, former the device that it was. It returns
// the token for the browser's cookie, "" when it was not paired: then the state says
// why, Fresh for a wrong code that may be typed again.
func (d *Devices) Pair(ctx context.Context, token, how, typed, agent string, former engine.Device) (key string, s engine.SignIn, state State, err error) {
	s, state, err = d.Find(token, how)
	if err != nil || state != Fresh {
		return "", s, state, err
	}
	if _, known := d.People.Person(s.Person); s.Person != "" && !known {
		return "", s, Over, nil
	}
	key = newToken()
	device, _, err := d.Decider.PairDevice(ctx, engine.Pairing{SignIn: s, Typed: typed, Key: sumOf(key), Name: browser(agent), Replaces: former.ID})
	if err != nil {
		return "", s, state, engine.WrapError(engine.Unavailable, err, "recording the sign-in")
	}
	if device != "" {
		return key, s, Used, nil
	}
	s, state, err = d.Find(token, how) // what the ledger says now
	return "", s, state, err
}

// Device returns the device that a browser's cookie stands for; ok is false for one
// that is unknown, revoked, over, or of somebody who is in people no more.
func (d *Devices) Device(key string) (device engine.Device, ok bool, err error) {
	sum := sumOf(key)
	if sum == "" {
		return device, false, nil
	}
	device, err = d.Reader.DeviceByKey(sum)
	if missing(err) {
		return engine.Device{}, false, nil
	}
	if err != nil || !device.Valid(d.Clock.Now()) {
		return engine.Device{}, false, err
	}
	if _, known := d.People.Person(device.Person); device.Person != "" && !known {
		return engine.Device{}, false, nil
	}
	d.seen(device)
	return device, true, nil
}

// identity is who a device is of: with a name, if they have a role.
func (d *Devices) identity(device engine.Device) Identity {
	p, known := d.People.Person(device.Person)
	if device.Person == "" || !known {
		return Identity{Device: device}
	}
	return Identity{Name: device.Person, Email: p.Email, Role: p.Role, Teams: d.People.Teams(device.Person), Device: device, How: "page"}
}

// Belongs reports whether a device is an addressee's. A name counts where it is a
// key of people; everybody else is whoever reads the mail of their address.
func (d *Devices) Belongs(device engine.Device, to engine.Addressee) bool {
	if device.ID == "" {
		return false
	}
	if _, known := d.People.Person(to.Name); to.Name != "" && known {
		return device.Person == to.Name
	}
	return device.Email != "" && strings.EqualFold(device.Email, to.Email)
}

// OwnerOf is whom a code for an addressee is mailed to: the person's address of this
// moment, or else that which the question was put to.
func (d *Devices) OwnerOf(to engine.Addressee) Owner {
	if p, known := d.People.Person(to.Name); to.Name != "" && known {
		return Owner{to.Name, p.Email}
	}
	return Owner{Email: to.Email}
}

// Typed is whom somebody means who typed a name or an address; nobody for a
// stranger.
func (d *Devices) Typed(text string) Owner {
	name, known := d.People.Named(strings.TrimSpace(text))
	if !known {
		return Owner{}
	}
	p, _ := d.People.Person(name)
	return Owner{name, p.Email}
}

// seenEvery is how exactly it is known when a device was last used.
const seenEvery = 5 * time.Minute

// seen notes in the cache that a device was used; a cache that fails is no reason to
// turn anybody away.
func (d *Devices) seen(device engine.Device) {
	now := d.Clock.Now()
	if at := d.LastUsed(device); now.Sub(at) >= seenEvery {
		_ = d.Cache.Set("device/"+device.ID, []byte(now.UTC().Format(time.RFC3339)), engine.DeviceLife) // nothing depends on it
	}
}

// LastUsed is when a device was last seen, as far as the cache knows.
func (d *Devices) LastUsed(device engine.Device) time.Time {
	value, found, err := d.Cache.Get("device/" + device.ID)
	if err != nil || !found {
		return device.Paired
	}
	at, err := time.Parse(time.RFC3339, string(value))
	if err != nil || at.Before(device.Paired) {
		return device.Paired
	}
	return at
}

// Cookie is a paired browser's cookie; an empty key deletes it.
func (d *Devices) Cookie(key string) *http.Cookie {
	return d.cookie(CookieName, key, engine.DeviceLife)
}

// WaitCookie is the cookie of a browser that asked for a code.
func (d *Devices) WaitCookie(token string) *http.Cookie {
	return d.cookie(CodeCookie, token, engine.CodeLife)
}

func (d *Devices) cookie(name, value string, life time.Duration) *http.Cookie {
	c := &http.Cookie{
		Name: name, Value: value, Path: d.Path, Secure: d.Secure,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(life / time.Second),
	}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}

// browser says in words what a browser calls itself. The order tells those apart
// that claim to be others.
func browser(agent string) string {
	find := func(list [][2]string) string {
		for _, pair := range list {
			if strings.Contains(agent, pair[0]) {
				return pair[1]
			}
		}
		return ""
	}
	program := find([][2]string{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"},
		{"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
	})
	system := find([][2]string{
		{"Android", "Android"}, {"iPhone", "an iPhone"}, {"iPad", "an iPad"}, {"Windows", "Windows"}, {"Mac OS X", "a Mac"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	})
	switch {
	case program == "" && system == "":
		return "a browser"
	case system == "":
		return program
	case program == "":
		return "a browser on " + system
	}
	return program + " on " + system
}
