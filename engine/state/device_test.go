package state_test

import (
	"fmt"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
)

func offered(b *box, token string, code string) record.SignInOffered {
	return record.SignInOffered{
		Token: token, Person: "dave", Email: "dave@example.org", How: engine.ViaCode, Code: code, Expires: b.clock.now.Add(engine.CodeLife), Bundle: "b1",
	}
}

func pairing(b *box, token, code, key string) record.DevicePaired {
	return record.DevicePaired{
		Token: token, Person: "dave", Email: "dave@example.org", How: engine.ViaCode, Code: code, Key: key, Name: "Firefox on Linux",
		Expires: b.clock.now.Add(engine.DeviceLife),
	}
}

func (b *box) one(kind record.Kind, payload any) record.Outcome {
	return b.append(0, rec(kind, payload))[0]
}

// TestACodePairsOnce: the first of two that are right, and none after its time, after
// five that were wrong, of another person or of a sign-in that nobody offered.
func TestACodePairsOnce(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir(), 1)
	o := b.one(record.SignInOfferedKind, offered(b, "t1", "right"))
	if len(o.Runs) != 1 {
		t.Fatalf("got %+v, want a run that mails the code", o)
	}
	run, err := b.state.Run(o.Runs[0])
	must(t, err)
	if run.Handler.Name != "code" || run.Purpose != state.PurposeOutbox {
		t.Errorf("got run %+v", run)
	}
	if o := b.one(record.SignInOfferedKind, offered(b, "t1", "right")); o.Applied {
		t.Error("the same sign-in was offered twice")
	}
	other := pairing(b, "t1", "right", "k0")
	other.Person = "ana"
	list := b.append(0,
		rec(record.DevicePairedKind, pairing(b, "t9", "right", "k0")), rec(record.DevicePairedKind, other),
		rec(record.DevicePairedKind, pairing(b, "t1", "wrong", "k0")),
		rec(record.DevicePairedKind, pairing(b, "t1", "right", "k1")), rec(record.DevicePairedKind, pairing(b, "t1", "right", "k2")))
	for n, want := range []record.Outcome{
		{Why: state.NoSignIn}, {Why: "it was offered to somebody else"}, {Applied: true, Action: state.WrongCode},
		{Applied: true, Device: "d0-1"}, {Why: state.SignInUsed},
	} {
		if got := list[n]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%d: got %+v, want %+v", n, got, want)
		}
	}
	d, err := b.state.DeviceByKey("k1")
	must(t, err)
	if d.Person != "dave" || !d.Valid(b.clock.now) || !d.Fresh(b.clock.now) {
		t.Errorf("got %+v, want dave's", d)
	}
	for _, key := range []string{"k0", "k2", "", "right"} {
		if _, err := b.state.DeviceByKey(key); err == nil {
			t.Errorf("a device is known by %q", key)
		}
	}
	b.one(record.SignInOfferedKind, offered(b, "t2", "right"))
	b.clock.now = b.clock.now.Add(engine.CodeLife)
	if o := b.one(record.DevicePairedKind, pairing(b, "t2", "right", "k3")); o.Why != state.SignInOver {
		t.Errorf("got %+v, want it over", o)
	}
	b.one(record.SignInOfferedKind, offered(b, "t3", "right"))
	for range engine.CodeTries {
		b.one(record.DevicePairedKind, pairing(b, "t3", "wrong", "k4"))
	}
	if o := b.one(record.DevicePairedKind, pairing(b, "t3", "right", "k4")); o.Why != state.TooManyTries {
		t.Errorf("got %+v, want too many tries", o)
	}
	b.one(record.SignInOfferedKind, record.SignInOffered{Token: "t4", How: engine.ViaCode, Code: "right", Expires: b.clock.now.Add(time.Hour)})
	nobody := record.DevicePaired{Token: "t4", How: engine.ViaCode, Code: "right", Key: "k5", Expires: b.clock.now.Add(time.Hour)}
	if o := b.one(record.DevicePairedKind, nobody); o.Action != state.WrongCode || o.Device != "" {
		t.Errorf("a code of nobody: got %+v", o)
	}
}

// TestADevicePairsAnew: what a browser was before is revoked with it; and revoked once.
func TestADevicePairsAnew(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir(), 1)
	for n := range 3 {
		b.one(record.SignInOfferedKind, offered(b, fmt.Sprint("t", n), "right"))
		p := pairing(b, fmt.Sprint("t", n), "right", fmt.Sprint("k", n))
		if n == 1 {
			p.Replaces = "d0-1"
		}
		b.one(record.DevicePairedKind, p)
	}
	if o := b.one(record.DeviceRevokedKind, record.DeviceRevoked{Device: "d0-1", By: "dave", How: "page"}); o.Applied {
		t.Error("what was replaced was revoked again")
	}
	if o := b.one(record.DeviceRevokedKind, record.DeviceRevoked{Device: "d0-3", By: "ana", How: "page", Why: "lost"}); !o.Applied {
		t.Errorf("got %+v", o)
	}
	list, next, err := b.state.Devices("dave", "", 10)
	must(t, err)
	if len(list) != 3 || next != "" || list[0].ID != "d0-3" || list[0].RevokedBy != "ana" || list[1].Valid(b.clock.now) != true || list[2].Why != "signed in anew, as d0-2" {
		t.Errorf("got %+v, %q", list, next)
	}
	if list, _, _ := b.state.Devices("ana", "", 10); len(list) != 0 {
		t.Errorf("ana has %+v", list)
	}
	b.clock.now = b.clock.now.Add(engine.DeviceLife)
	if d, _ := b.state.Device("d0-2"); d.Valid(b.clock.now) {
		t.Error("a pairing outlives its time")
	}
	b.clock.now = b.clock.now.Add(100 * 24 * time.Hour)
	b.one(record.SignInOfferedKind, offered(b, "t9", "right"))
	b.one(record.DevicePairedKind, pairing(b, "t9", "right", "k9"))
	if list, _, _ := b.state.Devices("", "", 10); len(list) != 1 {
		t.Errorf("got %d devices, want the new one alone", len(list))
	}
	if _, err := b.state.SignIn("t1"); err == nil {
		t.Error("a sign-in of long ago is kept")
	}
}

// TestAnAnswerProvesWhoGivesIt: the projector refuses what does not prove enough, and
// a browser that was revoked a moment before.
func TestAnAnswerProvesWhoGivesIt(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir(), 1)
	for n := range 2 {
		b.one(record.SignInOfferedKind, offered(b, fmt.Sprint("t", n), "right"))
		b.one(record.DevicePairedKind, pairing(b, fmt.Sprint("t", n), "right", fmt.Sprint("k", n)))
	}
	b.one(record.DeviceRevokedKind, record.DeviceRevoked{Device: "d0-2", By: "dave", How: "page"})
	run := b.append(0, rec(record.JobFiredKind, record.JobFired{
		Job: "ask", Offer: "o", Do: engine.Handler{File: "a.star", Name: "f"}, Bundle: "b1", Mode: "live", Instant: b.clock.now,
	}))[0].Run
	n := 0
	ask := func(proof string) string {
		n++
		return b.one(record.StepStartedKind, record.StepStarted{
			Run: run, Generation: 1, Number: n, Builtin: "ask", Question: &record.Question{To: []engine.Addressee{{Name: "dave"}}, Text: "What now?", Proof: proof},
		}).Question
	}
	type given struct{ proof, device string }
	link, typed := given{engine.ProofLink, ""}, given{engine.ProofTyped, ""}
	device, gone, login := given{engine.ProofDevice, "d0-1"}, given{engine.ProofDevice, "d0-2"}, given{engine.ProofLogin, "d0-1"}
	token, command, never := given{engine.ProofToken, ""}, given{engine.ProofCommand, ""}, given{engine.ProofDevice, "d0-9"}
	all := map[string]given{"link": link, "typed": typed, "device": device, "gone": gone, "login": login, "token": token, "command": command, "never": never, "nothing": {}}
	for asked, enough := range map[string][]string{
		"":                 {"link", "typed", "device", "login", "token", "command", "nothing"},
		engine.ProofLink:   {"link", "typed", "device", "login", "token", "command", "nothing"},
		engine.ProofTyped:  {"typed"},
		engine.ProofDevice: {"device", "login", "token", "command"},
		engine.ProofLogin:  {"login", "command"},
	} {
		for name, g := range all {
			want := false
			for _, e := range enough {
				want = want || e == name
			}
			o := b.one(record.QuestionAnsweredKind, record.QuestionAnswered{Question: ask(asked), By: "dave", How: "link", Proof: g.proof, Device: g.device})
			if o.Applied != want {
				t.Errorf("%q with %s: got %+v, want applied %v", asked, name, o, want)
			}
		}
	}
	b.clock.now = b.clock.now.Add(engine.LoginLife)
	if o := b.one(record.QuestionAnsweredKind, record.QuestionAnswered{Question: ask("login"), By: "dave", How: "link", Proof: "login", Device: "d0-1"}); o.Why != "the sign-in is too long ago" {
		t.Errorf("got %+v", o)
	}
}

// signIn is what the workload does with sign-ins and devices.
func (w *workload) signIn() ledger.New {
	token := fmt.Sprint("t", w.rnd.IntN(12))
	switch w.rnd.IntN(4) {
	case 0:
		p := offered(w.b, token, "right")
		p.Person, p.Expires = w.pick("dave", "dave", ""), w.b.clock.now.Add(90*time.Hour)
		return rec(record.SignInOfferedKind, p)
	case 1:
		return rec(record.DeviceRevokedKind, record.DeviceRevoked{By: "ana", How: "page", Device: engine.FormatID('d', 0, uint64(w.rnd.IntN(6)))})
	}
	p := pairing(w.b, token, w.pick("right", "wrong"), fmt.Sprint("k", w.rnd.IntN(1000)))
	p.Replaces = engine.FormatID('d', 0, uint64(w.rnd.IntN(10)))
	return rec(record.DevicePairedKind, p)
}

// TestTheBrakeLetsCodesPass: it holds machines, and lets people in.
func TestTheBrakeLetsCodesPass(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir(), 1)
	b.one(record.BrakeSetKind, record.BrakeSet{By: "dave", On: true})
	run := b.one(record.SignInOfferedKind, offered(b, "t1", "right")).Runs[0]
	o := b.one(record.StepStartedKind, record.StepStarted{Run: run, Generation: 1, Number: 1, Builtin: "smtp.deliver", Effect: true, Class: engine.Repeatable})
	if !o.Applied || o.Action != "" {
		t.Errorf("got %+v, want the mail on its way", o)
	}
}
