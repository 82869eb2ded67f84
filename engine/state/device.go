package state

import (
	"crypto/subtle"
	"encoding/binary"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// Who signs in, and which browsers are paired with whom, stands in the first
// shard. A sign-in is offered, and used once: the order of the log decides which
// of two that use it pairs a browser, and every wrong code counts, however many
// come at once. What the records hold of tokens and codes are hashes.

// DeviceShard is where sign-ins and devices are.
const DeviceShard = 0

// WrongCode is the action of a pairing whose code was wrong.
const WrongCode = "wrong code"

// Why a sign-in pairs nothing.
const (
	NoSignIn     = "the sign-in is not known"
	SignInUsed   = "it was used already"
	SignInOver   = "its time is over"
	TooManyTries = "too many wrong codes were typed"
)

// Parts of classSignIn.
const (
	signInPart = 's'
	signInEnds = 'x'
	deviceKeys = 'k'
)

// How long what is over is still explained.
const (
	signInKept = 7 * 24 * time.Hour
	deviceKept = 60 * 24 * time.Hour
)

// maxSwept bounds what one record removes of what is over.
const maxSwept = 16

// deviceEntry is a device as it is kept: with the hash that its browser is known by.
type deviceEntry struct {
	engine.Device
	Key string `json:"key,omitempty"`
}

// partKey is the key of a part of classSignIn by the hash of a token.
func partKey(part byte, sum string) []byte {
	return append(append(key(classSignIn, DeviceShard), part), hashed(sum)...)
}

func hashed(sum string) []byte { return hashKey(classSignIn, DeviceShard, sum)[3:] }

// endKey finds a sign-in by when it is over.
func endKey(end time.Time, sum string) []byte {
	k := append(key(classSignIn, DeviceShard), signInEnds)
	return append(binary.BigEndian.AppendUint64(k, uint64(end.UnixNano())), hashed(sum)...)
}

func (t *tx) signIn(sum string) (engine.SignIn, bool) {
	if sum == "" {
		return engine.SignIn{}, false
	}
	return get[engine.SignIn](t, partKey(signInPart, sum))
}

func (t *tx) device(id string) (deviceEntry, bool) {
	return deviceOf(t, id)
}

func deviceOf(r store.Reader, id string) (deviceEntry, bool) {
	shard, n, ok := engine.ParseID('d', id)
	if !ok || shard != DeviceShard {
		return deviceEntry{}, false
	}
	return get[deviceEntry](r, nounKey(classDevice, DeviceShard, n))
}

func decideSignIn(t *tx, p record.SignInOffered) record.Outcome {
	if t.shard != DeviceShard {
		return refuse("sign-ins are offered in the first shard")
	}
	if _, there := t.signIn(p.Token); there {
		return refuse("it was offered before")
	}
	o := record.Outcome{Applied: true}
	if p.Bundle != "" && p.Email != "" {
		o.Runs = t.ids('r', 1)
	}
	return o
}

func applySignIn(t *tx, p record.SignInOffered, o record.Outcome) {
	s := engine.SignIn{Token: p.Token, Person: p.Person, Email: p.Email, How: p.How, Code: p.Code, Offered: t.now, Expires: p.Expires}
	for _, id := range o.Runs {
		s.Run = id
		t.startRun(engine.Run{
			ID: id, Handler: codeHandler, Args: codeArgs(p), Bundle: p.Bundle, Commit: p.Commit, Purpose: PurposeOutbox, Mode: "live", Erased: t.erased,
		})
	}
	if p.Token == "" { // erased
		return
	}
	t.sweepSignIns()
	t.put(partKey(signInPart, p.Token), s)
	t.mark(endKey(p.Expires, p.Token))
}

// codeArgs is what the run gets that mails a code: a handle of it.
func codeArgs(p record.SignInOffered) engine.Data {
	if p.Token == "" {
		return nil
	}
	return engine.MustEncode(map[string]engine.Value{"to": p.Email, "code": engine.CodeSecret(p.Token), "until": p.Expires})
}

// sweepSignIns removes what was over long ago.
func (t *tx) sweepSignIns() {
	prefix := append(key(classSignIn, DeviceShard), signInEnds)
	var over [][]byte
	t.Scan(prefix, nil, false, func(k, _ []byte) bool {
		end := time.Unix(0, int64(binary.BigEndian.Uint64(k[len(prefix):])))
		if len(over) == maxSwept || t.now.Sub(end) < signInKept {
			return false
		}
		over = append(over, append([]byte(nil), k...))
		return true
	})
	for _, k := range over {
		t.Delete(k)
		t.Delete(append(append(key(classSignIn, DeviceShard), signInPart), k[len(prefix)+8:]...))
	}
}

func decidePaired(t *tx, p record.DevicePaired) record.Outcome {
	s, ok := t.signIn(p.Token)
	switch {
	case !ok || s.How != p.How:
		return refuse(NoSignIn)
	case s.Device != "":
		return refuse(SignInUsed)
	case !t.now.Before(s.Expires):
		return refuse(SignInOver)
	case s.Tries >= engine.CodeTries:
		return refuse(TooManyTries)
	case s.Whose() == "" || subtle.ConstantTimeCompare([]byte(s.Code), []byte(p.Code)) != 1:
		return record.Outcome{Applied: true, Action: WrongCode}
	case s.Person != p.Person || s.Email != p.Email:
		return refuse("it was offered to somebody else")
	}
	return record.Outcome{Applied: true, Device: t.nextID('d')}
}

func applyPaired(t *tx, p record.DevicePaired, o record.Outcome) {
	s, offered := t.signIn(p.Token)
	if o.Action == WrongCode {
		if s.Tries++; offered {
			t.put(partKey(signInPart, p.Token), s)
		}
		return
	}
	t.took(o.Device)
	_, n, _ := engine.ParseID('d', o.Device)
	t.put(nounKey(classDevice, DeviceShard, n), deviceEntry{Key: p.Key, Device: engine.Device{
		ID: o.Device, Person: p.Person, Email: p.Email, Name: p.Name, How: p.How, Paired: t.now, Expires: p.Expires, Erased: t.erased,
	}})
	t.count(func(c *engine.Counts) { c.Logins++ })
	if s.Device = o.Device; offered {
		t.put(partKey(signInPart, p.Token), s)
	}
	if p.Key != "" {
		t.Set(partKey(deviceKeys, p.Key), []byte(o.Device))
	}
	if former, ok := t.device(p.Replaces); ok && former.Revoked.IsZero() {
		former.Revoked, former.RevokedBy, former.Why = t.now, former.Owner(), "signed in anew, as "+o.Device
		t.putDevice(former)
	}
	t.sweepDevices()
}

func (t *tx) putDevice(d deviceEntry) {
	_, n, _ := engine.ParseID('d', d.ID)
	t.put(nounKey(classDevice, DeviceShard, n), d)
}

// sweepDevices removes what was over long ago: all last equally long, so that those
// are the first.
func (t *tx) sweepDevices() {
	var over []deviceEntry
	t.Scan(key(classDevice, DeviceShard), nil, false, func(k, _ []byte) bool {
		d, _ := get[deviceEntry](t, k)
		if len(over) == maxSwept || t.now.Sub(d.Expires) < deviceKept {
			return false
		}
		over = append(over, d)
		return true
	})
	for _, d := range over {
		_, n, _ := engine.ParseID('d', d.ID)
		t.Delete(nounKey(classDevice, DeviceShard, n))
		if d.Key != "" {
			t.Delete(partKey(deviceKeys, d.Key))
		}
	}
}

func decideRevoked(t *tx, p record.DeviceRevoked) record.Outcome {
	d, ok := t.device(p.Device)
	switch {
	case !ok:
		return refuse("there is no device " + p.Device)
	case !d.Revoked.IsZero():
		return refuse("it was revoked already")
	}
	return record.Outcome{Applied: true, Device: p.Device}
}

func applyRevoked(t *tx, p record.DeviceRevoked, _ record.Outcome) {
	if d, ok := t.device(p.Device); ok {
		d.Revoked, d.RevokedBy, d.Why = t.now, p.By, p.Why
		t.putDevice(d)
	}
}

// unproven says why an answer does not prove enough of who gives it, "" when it does.
// Of a device the order of the first shard's log decides; in others the caller has
// looked, and a pairing that ends at that very moment may just count.
func (t *tx) unproven(q engine.Question, p record.QuestionAnswered) string {
	if p.Proof == "" && (p.How == "" || p.How == engine.HowReplay) {
		return "" // the bench of tests: nobody from outside
	}
	given := p.Proof
	if given == "" {
		given = p.How // link, or nothing that proves anything
	}
	if !engine.Proves(q.Proof, given) {
		return "it takes another proof of who answers: " + q.Proof
	}
	if p.Device == "" || t.shard != DeviceShard || !engine.FromDevice(p.Proof) {
		return ""
	}
	d, _ := t.device(p.Device)
	switch {
	case !d.Valid(t.now):
		return "the browser is not paired any more"
	case p.Proof == engine.ProofLogin && !d.Fresh(t.now):
		return "the sign-in is too long ago"
	}
	return ""
}

// SignIn returns the sign-in of a token, by the token's hash; not_found for none.
func (s *State) SignIn(sum string) (found engine.SignIn, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	found, ok := get[engine.SignIn](view, partKey(signInPart, sum))
	if !ok {
		return found, engine.Errorf(engine.NotFound, "sign-in: %s", NoSignIn)
	}
	return found, nil
}

// Device returns one device; not_found for an unknown id.
func (s *State) Device(id string) (found engine.Device, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	d, ok := deviceOf(view, id)
	if !ok {
		return found, engine.Errorf(engine.NotFound, "device %q: there is none", id)
	}
	return d.Device, nil
}

// DeviceByKey returns the device that a browser is, by the hash of the token that
// the browser holds; not_found for none.
func (s *State) DeviceByKey(sum string) (found engine.Device, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	if id, ok := view.Get(partKey(deviceKeys, sum)); ok {
		if d, ok := deviceOf(view, string(id)); ok {
			return d.Device, nil
		}
	}
	return found, engine.Errorf(engine.NotFound, "device: no browser is known by that")
}

// Devices lists devices, of one person or address alone if one is given, newest
// first.
func (s *State) Devices(of, cursor string, limit int) ([]engine.Device, string, error) {
	first := uint16(DeviceShard)
	return paged(s, cursor, limit, listing[engine.Device]{
		only:    &first,
		seekers: func(r store.Reader, shard uint16) []seeker { return orAll(r, classDevice, shard, nil) },
		load: func(r store.Reader, shard uint16, n uint64) (engine.Device, time.Time, bool) {
			d, ok := get[deviceEntry](r, nounKey(classDevice, shard, n))
			return d.Device, d.Paired, ok && (of == "" || of == d.Person || of == d.Email)
		},
	})
}
