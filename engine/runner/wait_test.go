package runner_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/state"
)

const asks = `
def f(i):
    a = attempt(lambda: ask("dave", "What now?", choices = {"Allow": "nothing", "Block": "no network"}%s))
    if a.ok:
        i.set(choice = a.value.choice, by = a.value.by.name, reason = a.value.reason, timed_out = a.value.timed_out, fields = a.value.fields, at = a.value.at)
    else:
        i.set(kind = a.error.kind, message = a.error.message)
`

func asking(t *testing.T, more string) (b *box, incident, run string) {
	t.Helper()
	b = playbook(t, strings.Replace(asks, "%s", more, 1))
	incident, run = b.start()
	if r := b.status(run, engine.RunWaiting, engine.RunDone, engine.RunFailed); r.Status != engine.RunWaiting || r.Waits != "an answer of dave" {
		t.Fatalf("got %s: %s, waiting for %q", r.Status, describe(r.Error), r.Waits)
	}
	return b, incident, run
}

func (b *box) facts(incident string, want map[string]engine.Value) {
	b.t.Helper()
	for name, v := range want {
		if got := b.fact(incident, name); got != v {
			b.t.Errorf("%s: got %v, want %v", name, got, v)
		}
	}
}

func TestAnAnswerWakesTheRun(t *testing.T) {
	t.Parallel()
	b, incident, run := asking(t, "")
	b.clock.set(b.clock.Now().Add(72 * time.Hour))
	q := b.question()
	if q.Choices[1] != (engine.Choice{Name: "Block", Consequence: "no network"}) || q.Proof != "device" || !q.Due.IsZero() || q.Run != run {
		t.Errorf("got question %+v", q)
	}
	b.reopen()
	d := b.answer(q.ID, engine.Reply{Choice: "Block", By: engine.Addressee{Name: "dave"}, Reason: "homework first", How: "page", Proof: engine.ProofToken})
	if !d.Applied {
		t.Fatalf("got %+v, want applied", d)
	}
	b.status(run, engine.RunDone)
	b.facts(incident, map[string]engine.Value{"choice": "Block", "by": "dave", "reason": "homework first", "timed_out": false, "at": b.clock.Now()})
}

func TestTimeouts(t *testing.T) {
	tests := []struct {
		name, more string
		want       map[string]engine.Value
	}{
		{"with a default", `, timeout = "2h", default = "Allow"`, map[string]engine.Value{"choice": "Allow", "by": "nobody", "timed_out": true, "kind": nil}},
		{"without one", `, timeout = "2h"`, map[string]engine.Value{"kind": "timeout", "message": "ask: nobody answered in time", "choice": nil}},
	}
	for _, tt := range tests {
		for _, reopen := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				b, incident, run := asking(t, tt.more)
				q := b.question()
				if reopen {
					b.close()
					b.clock.set(b.clock.Now().Add(30 * time.Hour)) // it came due while the power was out
					b.open()
				} else {
					b.advance(2 * time.Hour)
				}
				b.status(run, engine.RunDone)
				b.facts(incident, tt.want)
				if d := b.answer(q.ID, engine.Reply{Choice: "Block", By: engine.Addressee{Name: "dave"}}); d.Applied || d.Why != "its time is over" {
					t.Errorf("a late answer: got %+v", d)
				}
			})
		}
	}
}

func TestAnAttemptsTimeBoundsAQuestion(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def f(i):
    def both():
        sleep("40m")
        return ask("dave", "Well?", default = "yes", timeout = "5h")
    a = attempt(both, timeout = "1h")
    i.set(kind = a.error.kind)
`)
	incident, run := b.start()
	b.status(run, engine.RunWaiting)
	b.advance(40 * time.Minute)
	q := b.question()
	if got := q.Due.Sub(q.Asked).Round(time.Minute); got != 20*time.Minute || q.HasDefault {
		t.Errorf("got a question for %v (default: %v), want 20m without one", got, q.HasDefault)
	}
	b.advance(20 * time.Minute)
	b.status(run, engine.RunDone)
	b.facts(incident, map[string]engine.Value{"kind": "timeout"})
}

func TestAnAttemptsTimeBoundsASleep(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    a = attempt(lambda: sleep('3h'), timeout = '1h')\n    i.set(ok = a.ok, kind = a.error.kind if a.error else None)\n")
	incident, run := b.start()
	b.status(run, engine.RunWaiting)
	b.advance(time.Hour)
	b.status(run, engine.RunDone)
	b.facts(incident, map[string]engine.Value{"ok": false, "kind": "timeout"})
}

func TestRetriesPauseDurably(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    a = attempt(lambda: sim.tag('x'), tries = 4, backoff = '1m')\n    i.set(ok = a.ok, kind = a.error.kind if a.error else None)\n")
	b.world.on("sim.tag", func(context.Context, *engine.Call) (engine.Result, error) {
		return engine.Result{}, engine.Errorf(engine.Unavailable, "not now")
	})
	incident, run := b.start()
	for _, pause := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		b.status(run, engine.RunWaiting)
		b.reopen()
		b.advance(pause)
		b.bell.until(t, "it tries again", func() bool { return b.run(run).Status == engine.RunDone || b.clock.sleeps(b.clock.Now().Add(2*pause)) })
	}
	b.status(run, engine.RunDone)
	b.facts(incident, map[string]engine.Value{"ok": false, "kind": "unavailable"})
	keys := map[string]bool{}
	for _, c := range b.world.calls {
		keys[c.Key] = true
	}
	if len(b.world.calls) != 4 || len(keys) != 4 {
		t.Errorf("got %d tries with %d keys, want 4 with their own", len(b.world.calls), len(keys))
	}
}

func TestRetriesEndWithSuccessOrWithWhatCannotHelp(t *testing.T) {
	tests := []struct {
		name  string
		fault *engine.Error
		tries int
		ok    bool
	}{
		{"success at last", engine.Errorf(engine.Timeout, "slow"), 2, true},
		{"denied is final", engine.Errorf(engine.Denied, "no"), 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := playbook(t, "def f(i):\n    a = attempt(lambda: sim.read('x'), tries = 3, backoff = '1m')\n    i.set(ok = a.ok)\n")
			n := 0
			b.world.on("sim.read", func(context.Context, *engine.Call) (engine.Result, error) {
				if n++; n > 1 {
					return engine.Result{Value: "good"}, nil
				}
				return engine.Result{}, tt.fault
			})
			incident, run := b.start()
			if tt.tries > 1 {
				b.status(run, engine.RunWaiting)
				b.advance(time.Minute)
			}
			b.status(run, engine.RunDone)
			b.facts(incident, map[string]engine.Value{"ok": tt.ok})
			if n != tt.tries {
				t.Errorf("got %d tries, want %d", n, tt.tries)
			}
		})
	}
}

func TestClosingFromOutside(t *testing.T) {
	tests := []struct {
		name, source, status string
	}{
		{"a question, uncaught", "def f(i):\n    ask('dave', 'q?')\n    sim.put('after')\n", engine.RunDone},
		{"a sleep, uncaught", "def f(i):\n    sleep('2h')\n    sim.put('after')\n", engine.RunDone},
		{"a question, caught", "def f(i):\n    a = attempt(lambda: ask('dave', 'q?'))\n    i.set(kind = a.error.kind)\n", engine.RunDone},
		{"the pause of an attempt", "def f(i):\n    attempt(lambda: sim.read('x'), tries = 5, backoff = '1h')\n    sim.put('after')\n", engine.RunDone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := playbook(t, tt.source)
			b.world.on("sim.read", func(context.Context, *engine.Call) (engine.Result, error) {
				return engine.Result{}, engine.Errorf(engine.Unavailable, "down")
			})
			incident, run := b.start()
			b.status(run, engine.RunWaiting)
			d, err := b.runner.CloseIncident(t.Context(), incident, "a false alarm", "false_positive", "ana")
			must(t, err)
			if !d.Applied {
				t.Fatalf("got %+v", d)
			}
			if r := b.status(run, engine.RunDone, engine.RunFailed); r.Status != tt.status || r.Error != nil {
				t.Errorf("got %s: %s, want %s without an error", r.Status, describe(r.Error), tt.status)
			}
			if got := b.world.did("sim.put"); len(got) != 0 {
				t.Errorf("got %v after the close", got)
			}
			if strings.Contains(tt.name, "caught") && !strings.Contains(tt.name, "un") {
				b.facts(incident, map[string]engine.Value{"kind": "closed"})
			}
			open, _, err := b.state.Questions(engine.QuestionFilter{Status: engine.QuestionOpen}, "", 10)
			must(t, err)
			if len(open) != 0 {
				t.Errorf("got open questions %+v", open)
			}
			if _, ok, err := b.state.NextTimer(0); ok || err != nil {
				t.Errorf("a timer is left (error %v)", err)
			}
			if d, err = b.runner.CloseIncident(t.Context(), incident, "again", "", "dave"); err != nil || d.Applied || d.Why != "it is closed already, by ana" {
				t.Errorf("closing twice: got %+v, %v", d, err)
			}
		})
	}
}

// TestClosedBeforeItAsks: a run whose incident a person closed while it worked
// asks nobody any more.
func TestClosedBeforeItAsks(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    sim.put('x')\n    ask('dave', 'q?')\n    sim.put('after')\n")
	b.world.on("sim.put", func(_ context.Context, c *engine.Call) (engine.Result, error) {
		_, err := b.runner.CloseIncident(context.Background(), c.Incident, "done", "", "ana")
		return engine.Result{}, err
	})
	_, run := b.start()
	b.status(run, engine.RunDone)
	equal(t, "calls", b.world.did(), []string{"sim.put x"})
	qs, _, err := b.state.Questions(engine.QuestionFilter{}, "", 10)
	must(t, err)
	if len(qs) != 0 {
		t.Errorf("got questions %+v, want none", qs)
	}
}

func TestARunThatClosesItsOwnIncidentGoesOn(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    i.close('mine')\n    sleep('1h')\n    a = ask('dave', 'q?', choices = ['yes'])\n    sim.put(a.choice)\n")
	_, run := b.start()
	b.status(run, engine.RunWaiting)
	b.reopen()
	b.advance(time.Hour)
	b.answer(b.question().ID, engine.Reply{Choice: "yes", By: engine.Addressee{Name: "dave"}})
	b.status(run, engine.RunDone)
	equal(t, "calls", b.world.did(), []string{"sim.put yes"})
}

func TestAReopenedIncidentIsAskedAboutAgain(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    a = attempt(lambda: sleep('1h'))\n    sim.put(a.error.kind)\n    ask('dave', 'q?')\n")
	incident, run := b.start()
	b.status(run, engine.RunWaiting)
	b.world.on("sim.put", func(_ context.Context, c *engine.Call) (engine.Result, error) {
		_, err := b.runner.ReopenIncident(context.Background(), incident, "looked again", "ana")
		return engine.Result{}, err
	})
	_, err := b.runner.CloseIncident(t.Context(), incident, "done", "", "ana")
	must(t, err)
	b.question()
	equal(t, "calls", b.world.did(), []string{"sim.put closed"})
}

func TestTwoAnswersRace(t *testing.T) {
	t.Parallel()
	b, incident, run := asking(t, `, timeout = "2h", default = "Allow"`)
	q := b.question()
	type result struct {
		by string
		d  engine.Decision
	}
	results := make(chan result, 20)
	for n := range 20 {
		go func() {
			by := []string{"ana", "dave"}[n%2]
			d, err := b.runner.Answer(context.Background(), q.ID, engine.Reply{Choice: "Block", By: engine.Addressee{Name: by}})
			if err != nil {
				t.Error(err)
			}
			results <- result{by, d}
		}()
	}
	winner, applied := "", 0
	var whys []string
	for range 20 {
		r := <-results
		if r.d.Applied {
			winner, applied = r.by, applied+1
		} else {
			whys = append(whys, r.d.Why)
		}
	}
	if applied != 1 {
		t.Fatalf("got %d answers applied, want one", applied)
	}
	for _, why := range whys {
		if why != "it was answered by "+winner+": Block" {
			t.Errorf("got %q, want by whom", why)
		}
	}
	b.status(run, engine.RunDone)
	b.facts(incident, map[string]engine.Value{"by": winner})
	if _, ok, err := b.state.NextTimer(0); ok || err != nil {
		t.Errorf("the question's timer is left (error %v)", err)
	}
}

// TestAnswerAgainstTimeout: whichever stands first in the ledger counts.
func TestAnswerAgainstTimeout(t *testing.T) {
	for range 8 {
		t.Run("race", func(t *testing.T) {
			t.Parallel()
			b, incident, run := asking(t, `, timeout = "2h", default = "Allow"`)
			q := b.question()
			decided := make(chan engine.Decision, 1)
			go func() {
				d, err := b.runner.Answer(context.Background(), q.ID, engine.Reply{Choice: "Block", By: engine.Addressee{Name: "dave"}})
				if err != nil {
					t.Error(err)
				}
				decided <- d
			}()
			b.clock.set(b.clock.Now().Add(2 * time.Hour))
			want := "Allow"
			if d := <-decided; d.Applied {
				want = "Block"
			} else if d.Why != "its time is over" {
				t.Errorf("got %+v", d)
			}
			b.status(run, engine.RunDone)
			b.facts(incident, map[string]engine.Value{"choice": want, "timed_out": want == "Allow"})
		})
	}
}

func TestWhomToAsk(t *testing.T) {
	tests := []struct {
		name, to string
		want     string // names of who is asked
		runs     int    // mails
		err      string
	}{
		{"a person", `"ana"`, "ana", 1, ""},
		{"a team", `"family"`, "dave ana", 2, ""},
		{"each once", `["ana", "family", "dave", "ana@example.net"]`, "ana dave ana@example.net", 3, ""},
		{"no address", `"mute"`, "mute", 0, ""},
		{"an unknown name", `"davee"`, "", 0, `ask: to: there is no "davee"|people and teams of larkspur.yaml are: ana, dave, family, mute`},
		{"nobody", `[]`, "", 0, "ask: to: nobody is named|name a person"},
		{"a number", `[3]`, "", 0, "ask: to: got 3, want a person|"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := playbook(t, "def f(i):\n    ask("+tt.to+", 'q?')\n")
			_, run := b.start()
			r := b.status(run, engine.RunWaiting, engine.RunFailed)
			if tt.err != "" {
				message, hint, _ := strings.Cut(tt.err, "|")
				if r.Status != engine.RunFailed || r.Error.Kind != engine.Invalid {
					t.Fatalf("got %s: %s", r.Status, describe(r.Error))
				}
				contains(t, "message", r.Error.Message, message)
				contains(t, "hint", r.Error.Hint, hint)
				return
			}
			var names []string
			for _, a := range b.question().To {
				names = append(names, a.Name)
			}
			if got := strings.Join(names, " "); got != tt.want {
				t.Errorf("got %q asked, want %q", got, tt.want)
			}
			if got := len(b.mails()); got != tt.runs {
				t.Errorf("got %d mails, want %d", got, tt.runs)
			}
		})
	}
}

// mails waits until every outbox run is over and returns what was delivered.
func (b *box) mails() []map[string]engine.Value {
	b.t.Helper()
	b.bell.until(b.t, "the outbox is empty", func() bool {
		runs, _, err := b.state.Runs(engine.RunFilter{Status: engine.RunRunning}, "", 100)
		must(b.t, err)
		return !slices.ContainsFunc(runs, func(r engine.Run) bool { return r.Purpose == state.PurposeOutbox })
	})
	b.world.mu.Lock()
	defer b.world.mu.Unlock()
	var list []map[string]engine.Value
	for _, c := range b.world.calls {
		if c.Name == "smtp.deliver" {
			mail, _ := c.Args["mail"].(map[string]engine.Value)
			list = append(list, mail)
		}
	}
	return list
}

func TestQuestionsGoOutByMail(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    ask('family', 'What now?', choices = {'Allow': 'nothing', 'Block': ''}, details = ['since 3 h'], timeout = '2h', default = 'Allow')\n")
	incident, run := b.start()
	b.status(run, engine.RunWaiting)
	q := b.question()
	mails := b.mails()
	if len(mails) != 2 {
		t.Fatalf("got %d mails, want 2", len(mails))
	}
	for _, m := range mails {
		button := m["buttons"].([]engine.Value)[0].(map[string]engine.Value)
		link, ok := button["url"].(engine.Secret)
		question, person, revision, parsed := engine.ParseLinkSecret(link.Name)
		if !ok || !parsed || question != q.ID || revision != 1 || m["references"] != incident {
			t.Errorf("got mail %v, want a link to %s", m, q.ID)
		}
		token := engine.LinkToken([]byte("link key"), question, person, revision)
		back, who, err := b.state.QuestionByToken(token)
		if err != nil || back.ID != q.ID || who.Name != person || who.Email != person+"@example.org" {
			t.Errorf("the token of %s leads to %+v of %+v, %v", person, back, who, err)
		}
		contains(t, "text", m["text"].(string), "What now?")
		contains(t, "sections", fmt.Sprint(m["sections"]), "Allow: nothing", "An answer is wanted by 2026-11-22 10:00 UTC. Without one it is taken to be: Allow.")
	}
	contains(t, "story", b.story(incident), "asks dave, ana: What now?", "mail handed to the mail server for dave@example.org")
}

func TestMailIsHandedToTheOutboxInTheStepsFrame(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    sim.mail('ana@example.org')\n    sim.put('after')\n")
	down := true
	b.world.on("smtp.deliver", func(context.Context, *engine.Call) (engine.Result, error) {
		if down {
			return engine.Result{}, engine.Errorf(engine.Unavailable, "smtp: refused")
		}
		return doDeliver(nil, nil)
	})
	incident, _ := b.play() // the playbook does not wait for the mail server
	runs, _, err := b.state.Runs(engine.RunFilter{Incident: incident}, "", 10)
	must(t, err)
	mail := runs[0]
	if len(runs) != 2 || mail.Purpose != state.PurposeOutbox {
		t.Fatalf("got runs %+v", runs)
	}
	b.status(mail.ID, engine.RunWaiting)
	b.reopen()
	b.world.mu.Lock()
	down = false
	b.world.mu.Unlock()
	b.advance(time.Minute)
	b.status(mail.ID, engine.RunDone)
	if got := len(b.world.did("smtp.deliver")); got != 2 {
		t.Errorf("got %d tries, want 2", got)
	}
}

func TestMailThatCannotBeDeliveredIsNoted(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    sim.mail('nobody@example.org')\n")
	b.world.on("smtp.deliver", func(context.Context, *engine.Call) (engine.Result, error) {
		return engine.Result{}, engine.Errorf(engine.Invalid, "smtp: 550 no such user")
	})
	incident, _ := b.play()
	b.bell.until(t, "the mail has failed", func() bool { return strings.Contains(b.story(incident), "could not be delivered") })
	contains(t, "story", b.story(incident), "mail to nobody@example.org could not be delivered: smtp: 550 no such user")
}

func TestSleepUntil(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    sleep(until = now() + time.duration('90m'))\n    sim.put('x')\n    sleep(until = i.opened)\n    sim.put('y')\n")
	_, run := b.start()
	b.status(run, engine.RunWaiting)
	b.advance(90 * time.Minute)
	b.status(run, engine.RunDone)
	equal(t, "calls", b.world.did(), []string{"sim.put x", "sim.put y"})
}

func TestDecisionsAboutWhatIsNotThere(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    pass\n")
	if _, err := b.runner.Answer(t.Context(), "rubbish", engine.Reply{}); engine.KindOf(err) != engine.NotFound {
		t.Errorf("got %v, want not_found", err)
	}
	if _, err := b.runner.UndoChange(t.Context(), "c7-1", "dave", "", false); engine.KindOf(err) != engine.NotFound {
		t.Errorf("a shard that is not there: got %v, want not_found", err)
	}
	if _, err := b.runner.Answer(t.Context(), "q0-99", engine.Reply{}); engine.KindOf(err) != engine.NotFound {
		t.Errorf("got %v, want not_found", err)
	}
	for _, d := range []func() (engine.Decision, error){
		func() (engine.Decision, error) { return b.runner.UndoChange(t.Context(), "c0-99", "dave", "", false) },
		func() (engine.Decision, error) { return b.runner.Note(t.Context(), "i0-99", "x", "dave") },
	} {
		if got, err := d(); err != nil || got.Applied || !strings.HasPrefix(got.Why, "there is no ") {
			t.Errorf("got %+v, %v, want no effect and why", got, err)
		}
	}
}

func TestANoteOfAPerson(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    pass\n")
	incident, _ := b.startWith(record.EventMatched{})
	if d, err := b.runner.Note(t.Context(), incident, "called them", "ana"); err != nil || !d.Applied {
		t.Errorf("got %+v, %v", d, err)
	}
	contains(t, "story", b.story(incident), "ana | called them")
}
