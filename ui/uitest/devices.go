package uitest

import (
	"context"
	"fmt"
	"strings"

	"larkspur/engine"
	"larkspur/engine/state"
)

// The methods of this file are sign-ins and devices in memory, as the ledger decides
// of them.

// boxKey is the world's key of codes.
const boxKey = "a key of the tests"

// Mail is a code that was mailed.
type Mail struct{ To, Code string }

func (w *World) CanMail() error {
	if w.NoMail {
		return engine.Errorf(engine.Unavailable, "no mail server is configured, so no code can be sent").
			WithHint("An administrator can make a link that signs this browser in: larkspur login NAME")
	}
	return nil
}

func (w *World) OfferSignIn(_ context.Context, s engine.SignIn, _ string) (engine.Decision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.Run = w.CodeRun
	if s.Offered = w.now; s.How == engine.ViaCode {
		code := engine.SignInCode([]byte(boxKey), s.Token)
		s.Code = engine.CodeSum([]byte(boxKey), s.Token, code)
		if s.Email != "" {
			w.Mails = append(w.Mails, Mail{s.Email, code})
		}
	}
	w.signIns[s.Token] = s
	return engine.Decision{Applied: true}, nil
}

func (w *World) SignIn(sum string) (engine.SignIn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s, ok := w.signIns[sum]; ok {
		return s, nil
	}
	return engine.SignIn{}, engine.Errorf(engine.NotFound, "no such sign-in")
}

func (w *World) PairDevice(_ context.Context, p engine.Pairing) (string, engine.Decision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.signIns[p.SignIn.Token]
	typed := ""
	if s.How == engine.ViaCode {
		typed = engine.CodeSum([]byte(boxKey), s.Token, p.Typed)
	}
	switch {
	case s.Device != "":
		return "", engine.Decision{Why: state.SignInUsed}, nil
	case s.Tries >= engine.CodeTries:
		return "", engine.Decision{Why: state.TooManyTries}, nil
	case s.Whose() == "" || s.Code != typed:
		s.Tries++
		w.signIns[s.Token] = s
		return "", engine.Decision{Why: state.WrongCode}, nil
	}
	d := engine.Device{
		ID: engine.FormatID('d', 0, uint64(len(w.devices)+1)), Person: s.Person, Email: s.Email, Name: p.Name, How: s.How,
		Paired: w.now, Expires: w.now.Add(engine.DeviceLife),
	}
	for i := range w.devices {
		if old := &w.devices[i]; old.ID == p.Replaces && old.Revoked.IsZero() {
			old.Revoked, old.RevokedBy, old.Why = w.now, old.Owner(), "signed in anew, as "+d.ID
		}
	}
	w.devices = append(w.devices, d)
	w.keys[p.Key] = d.ID
	s.Device = d.ID
	w.signIns[s.Token] = s
	w.log = append(w.log, "login "+d.Owner()+" "+s.How)
	return d.ID, engine.Decision{Applied: true}, nil
}

func (w *World) RevokeDevice(_ context.Context, device, by, how, why string) (engine.Decision, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.devices {
		if d := &w.devices[i]; d.ID == device && d.Revoked.IsZero() {
			d.Revoked, d.RevokedBy, d.Why = w.now, by, why
			w.log = append(w.log, fmt.Sprintf("revoke %s by %s how %s %q", device, by, how, why))
			return engine.Decision{Applied: true}, nil
		}
	}
	return engine.Decision{Why: "it was revoked already"}, nil
}

func (w *World) DeviceByKey(sum string) (engine.Device, error) {
	w.mu.Lock()
	id, ok := w.keys[sum]
	w.mu.Unlock()
	if !ok {
		return engine.Device{}, engine.Errorf(engine.NotFound, "no such device")
	}
	return w.Device(id)
}

func (w *World) Device(id string) (engine.Device, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.devices {
		if d.ID == id {
			return d, nil
		}
	}
	return engine.Device{}, engine.Errorf(engine.NotFound, "there is no device %q", id)
}

func (w *World) Devices(of, cursor string, limit int) ([]engine.Device, string, error) {
	var newest []engine.Device
	for _, d := range w.devices {
		newest = append([]engine.Device{d}, newest...)
	}
	return listed(w, newest, func(d engine.Device) bool { return of == "" || d.Person == of || d.Email == of }, cursor, limit)
}

func (w *World) Named(typed string) (string, bool) {
	for name, p := range w.Has.Persons {
		if strings.EqualFold(name, typed) || strings.EqualFold(p.Email, typed) {
			return name, true
		}
	}
	return "", false
}

// LastCode is the code that was mailed last.
func (w *World) LastCode() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.Mails) == 0 {
		return ""
	}
	return w.Mails[len(w.Mails)-1].Code
}

// Pair has a visitor pair their browser by a code, on the page of a question's link.
func (v *Visitor) Pair(link string) *Visitor {
	v.t.Helper()
	v.Post(link+"/code", v.Get(link).FormTo("/code")).Want(303)
	v.Post(link+"/pair", v.Get(link).FormTo("/pair", "code", v.World.LastCode())).Want(303)
	return v
}
