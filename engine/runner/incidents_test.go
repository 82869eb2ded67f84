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
)

// fire starts f of a.star as a job.
func (b *box) fire(instant time.Time) string {
	b.t.Helper()
	o := b.append(b.ledger.ShardOf("job", "check"), record.JobFiredKind, record.JobFired{
		Job: "check", Instant: instant, Offer: "job/check/" + instant.Format(time.RFC3339Nano), Bundle: b.bundle, Mode: "live", Do: engine.Handler{File: "a.star", Name: "f"}, Overlap: true,
	})
	return o.Run
}

// job fires f and waits for its end.
func (b *box) job() engine.Run {
	b.t.Helper()
	return b.status(b.fire(b.clock.Now()), engine.RunDone)
}

// all lists the incidents, the oldest first.
func (b *box) all() []engine.Incident {
	b.t.Helper()
	list, _, err := b.state.Incidents(engine.IncidentFilter{}, "", 100)
	must(b.t, err)
	slices.Reverse(list)
	return list
}

// said lists what a run printed.
func (b *box) said(run string) (lines []string) {
	b.t.Helper()
	for _, s := range b.steps(run) {
		if s.Builtin == "print" {
			v, err := s.Args.Value()
			must(b.t, err)
			lines = append(lines, v.(map[string]engine.Value)["text"].(string))
		}
	}
	return lines
}

const outages = `
def repair(i, name):
    sim.put("repair " + name)
    a = ask("dave", "%s: %s?" % (name, i.fields["why"]))
    i.close(a.choice)

def f():
    for name in ["blog", "shop"]:
        i = incidents.open(name + " is down", type = "outage", severity = "high", dedup = [name], team = "family",
            fields = {"why": "no answer", "name": name}, reporter = "ana@example.org", do = repair, args = {"name": name})
        print(name, i.new, i.id == incidents.find(type = "outage", dedup = [name], status = "open")[0].id)
`

// TestAJobOpensIncidents: one for each type and values, with a run of its own; the
// next firing finds them. With one shard and with eight.
func TestAJobOpensIncidents(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 8} {
		t.Run(fmt.Sprint(shards, " shards"), func(t *testing.T) {
			t.Parallel()
			b := playbookWith(t, boxConfig{shards: shards}, outages)
			first := b.job()
			equal(t, "first", b.said(first.ID), []string{"blog True True", "shop True True"})
			for _, i := range b.all() {
				runs, _, err := b.state.Runs(engine.RunFilter{Incident: i.ID}, "", 10)
				must(t, err)
				b.status(runs[len(runs)-1].ID, engine.RunWaiting)
				if i.Type != "outage" || i.Severity != "high" || i.Rule != "check" || i.Team != "family" || i.OpenedBy != first.ID || i.Reporter == nil || *i.Reporter != (engine.Reporter{Name: "ana", Email: "ana@example.org"}) {
					t.Errorf("got %+v by %+v", i, i.Reporter)
				}
				equal(t, "order", i.Order, []string{"why", "name"})
				contains(t, "story", b.story(i.ID), "run "+first.ID+" | opened by a run of check", "asks dave: ")
			}
			b.clock.set(b.clock.Now().Add(time.Minute))
			second := b.job()
			equal(t, "second", b.said(second.ID), []string{"blog False True", "shop False True"})
			if got := b.world.did("sim.put"); len(b.all()) != 2 || len(got) != 2 {
				t.Errorf("got %d incidents, %v", len(b.all()), got)
			}
		})
	}
}

const finding = `
def f():
    for n in range(6):
        i = incidents.open("n%d" % n, type = "even" if n % 2 == 0 else "odd", severity = ["low", "high"][n % 2], fields = {"n": n, "half": n // 2})
        if n == 4:
            i.close("four")
    titles = lambda found: " ".join([i.title for i in found])
    print("all:", titles(incidents.find()))
    print("limit:", titles(incidents.find(limit = 2)))
    print("type:", titles(incidents.find(type = "odd")))
    print("status:", titles(incidents.find(status = "closed")), titles(incidents.find("open", "even")))
    print("severity:", titles(incidents.find(severity = "high", rule = "check")))
    print("fields:", titles(incidents.find(fields = {"half": 1})))
    print("since:", len(incidents.find(since = "1h")), len(incidents.find(since = now() + time.duration("1h"))))
    print("where:", titles(incidents.find(where = lambda i: i.fields["n"] > 2 and i.status == "open", limit = 2)))
    print("count:", incidents.count(), incidents.count(type = "odd"), incidents.count(where = lambda i: i.severity == "high"))
    i = incidents.find(fields = {"n": 1})[0]
    print("get:", incidents.get(i.id) == i, incidents.get("i0-999"), incidents.get("nonsense"))
    print(i.rule, i.type, i.severity, i.status, i.owner, i.event, i.events, i.reporter, i.fields["half"], i.link.endswith(i.id), i.opened <= now())
    b = incidents.baseline("odd")
    print("baseline:", b.now, b.normal, b.percent)
    for wrong in [lambda: incidents.find(limit = 20000), lambda: incidents.find(status = "closd"), lambda: incidents.baseline("odd", over = "60d"), lambda: incidents.open("x", severity = "urgent"), lambda: incidents.open("")]:
        r = attempt(wrong)
        print(r.error.kind, r.error.message)
`

// TestIncidentsAreFoundByScripts: by every filter, and by a lambda, which makes no
// step of its own.
func TestIncidentsAreFoundByScripts(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 8} {
		t.Run(fmt.Sprint(shards, " shards"), func(t *testing.T) {
			t.Parallel()
			b := playbookWith(t, boxConfig{shards: shards}, finding)
			r := b.job()
			got := strings.Join(b.said(r.ID), "\n")
			if shards == 1 { // of several shards those of one moment have no order
				contains(t, "said", got, "all: n5 n4 n3 n2 n1 n0", "limit: n5 n4", "type: n5 n3 n1", "status: n4 n2 n0", "severity: n5 n3 n1", "fields: n3 n2", "where: n5 n3")
			}
			contains(t, "said", got, "since: 6 0", "count: 6 3 3", "get: True None None", "check odd high open None None [] None 0 True True", "baseline: 3 0.0 None",
				"invalid incidents.find: limit: got 20000, want 1 to 10000", `invalid incidents.find: status: got "closd", want open or closed`,
				"invalid incidents.baseline: over: got 60d", `invalid incidents.open: severity: got "urgent"`, "invalid incidents.open: title: got 0 bytes")
			gets := 0
			for _, s := range b.steps(r.ID) {
				if s.Builtin == "incident.get" && strings.Contains(string(s.Args), `"fields"`) {
					gets++
				}
			}
			if gets != 1 { // of the one that is printed
				t.Errorf("got %d steps that read facts", gets)
			}
		})
	}
}

// TestBaselineKnowsTheHourOfTheWeek: by the weeks before, at the same hour.
func TestBaselineKnowsTheHourOfTheWeek(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f():\n    b = incidents.baseline('phishing')\n    print(b.now, b.normal, b.percent)\n    w = incidents.baseline('phishing', window = '1d', over = '7d')\n    print(w.now, w.normal, w.percent)\n")
	now := b.clock.Now()
	open := func(n int, ago time.Duration) {
		for k := range n {
			b.append(0, record.IncidentOpenedKind, record.IncidentOpened{Offer: fmt.Sprint(ago, k), Title: "x", Type: "phishing", Severity: "low", Opened: now.Add(-ago)})
		}
	}
	const week = 7 * 24 * time.Hour
	open(41, 10*time.Minute)
	for n := range time.Duration(4) {
		open(20, (n+1)*week+30*time.Minute)
		open(7, (n+1)*week+5*time.Hour) // another hour
	}
	equal(t, "said", b.said(b.job().ID), []string{"41 20.0 205", "41 27.0 152"})
}

const others = `
def f():
    i = incidents.open("one", type = "t", dedup = "a", team = "family")
    j = incidents.get(i.id)
    j.set(seen = True, by = "job")
    j.note("looked")
    j.assign("ana")
    print(j.owner, i.owner, j.fields)
    j.assign("family", pick = "less-busy")
    print(j.owner, j.team)
    j.assign("family")
    print(j.owner, j.team)
    j.assign("family", "random")
    print(j.owner in ["dave", "ana"])
    j.escalate("critical")
    print(j.severity)
    for wrong in [lambda: j.assign("nobody"), lambda: j.assign("ana", pick = "random"), lambda: j.escalate("urgent"), lambda: j.wait("closed")]:
        r = attempt(wrong)
        print(r.error.kind)
    j.close("done")
    print(j.status, j.reason, incidents.open("again", type = "t", dedup = "a").new)
`

// TestRunsActOnOtherIncidents: also in other shards, once each.
func TestRunsActOnOtherIncidents(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 8} {
		t.Run(fmt.Sprint(shards, " shards"), func(t *testing.T) {
			t.Parallel()
			b := playbookWith(t, boxConfig{shards: shards}, others)
			r := b.job()
			equal(t, "said", b.said(r.ID), []string{
				`ana ana {"by": "job", "seen": True}`, "dave family", "None family", "True", "critical", "invalid", "invalid", "invalid", "denied", "closed done True",
			})
			contains(t, "story", b.story(b.all()[0].ID), "run "+r.ID+" | sets seen, by", "| looked", "| assigns it to ana\n", "| assigns it to dave of the team family", "| assigns it to the team family",
				"| sets the severity to critical", "| closes: done")
		})
	}
}

// TestShadowOpensNothing: a run that must not touch the world gets an incident that
// is none, and does nothing to others.
func TestShadowOpensNothing(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def g(i):
    pass

def f(i):
    o = incidents.open("x", do = g, args = {})
    o.note("nobody reads this")
    o.close("never")
    print(o.id, o.new, o.status, o.fields, o.events, o.wait("closed", timeout = "1h"))
    for other in incidents.find(where = lambda x: x.id != i.id):
        other.close("not by a shadow")
    i.note("mine")
`)
	first, _ := b.startWith(record.EventMatched{Do: engine.Handler{File: "a.star", Name: "g"}})
	own, run := b.startWith(record.EventMatched{Mode: "shadow"})
	b.status(run, engine.RunDone)
	equal(t, "said", b.said(run), []string{"None None None {} [] False"})
	if len(b.all()) != 2 || b.incident(first).Status != engine.IncidentOpen {
		t.Errorf("got %+v", b.all())
	}
	contains(t, "own story", b.story(own), "| mine")
}

// TestWhatATeamAloneSeesStaysSo: what a run opens is seen by no more people than
// its own incident.
func TestWhatATeamAloneSeesStaysSo(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    incidents.open('x', type = 'y')\n")
	_, run := b.startWith(record.EventMatched{Team: "family", Visible: "team"})
	b.status(run, engine.RunDone)
	if i := b.all()[1]; i.Visible != "team" || i.Team != "family" {
		t.Errorf("got %+v", i)
	}
}

// TestAWrongDoIsRefused: at once, in the script.
func TestAWrongDoIsRefused(t *testing.T) {
	t.Parallel()
	b := playbook(t, `
def g(i, x):
    pass

def f():
    for wrong in [lambda: incidents.open("x", do = g), lambda: incidents.open("x", args = {"x": 1}), lambda: incidents.open("x", reporter = "nobody"),
            lambda: incidents.open("x", team = "none"), lambda: incidents.find(where = 5)]:
        print(attempt(wrong).error.message)
`)
	got := b.said(b.job().ID)
	for n, want := range []string{"incidents.open: do: ", "incidents.open: got args, and no do", `incidents.open: reporter: there is no "nobody"`, `incidents.open: team: there is no "none"`, "incidents.find: where: got 5"} {
		contains(t, "error", got[n], want)
	}
	if len(b.all()) != 0 {
		t.Errorf("got %+v", b.all())
	}
}

// TestPeopleAssignAndEscalate: as scripts do; what stands already has no effect.
func TestPeopleAssignAndEscalate(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    print(i.wait('assigned'), i.owner, i.severity, i.fields)\n")
	incident, run := b.start()
	b.status(run, engine.RunWaiting)
	ctx := context.Background()
	act := func(want string, d engine.Decision, err error) {
		t.Helper()
		if got := fmt.Sprint(d.Applied, d.Why, err); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	d, err := b.runner.Escalate(ctx, incident, "critical", "ana")
	act("true<nil>", d, err)
	d, err = b.runner.Escalate(ctx, incident, "critical", "ana")
	act("falseits severity is critical already<nil>", d, err)
	if _, err := b.runner.Escalate(ctx, incident, "urgent", "ana"); engine.KindOf(err) != engine.Invalid {
		t.Errorf("got %v", err)
	}
	d, err = b.runner.SetFacts(ctx, incident, map[string]engine.Value{"ticket": "T-1"}, []string{"ticket"}, "ana")
	act("true<nil>", d, err)
	d, err = b.runner.Assign(ctx, incident, "family", "less-busy", "dave")
	act("true<nil>", d, err)
	for _, tt := range [][2]string{{"nobody", ""}, {"ana", "random"}, {"family", "on-duty"}, {"family", "first"}} {
		if _, err := b.runner.Assign(ctx, incident, tt[0], tt[1], "dave"); engine.KindOf(err) != engine.Invalid {
			t.Errorf("%v: got %v", tt, err)
		}
	}
	b.status(run, engine.RunDone)
	equal(t, "said", b.said(run), []string{`True dave critical {"ticket": "T-1"}`})
}

// opens is a playbook that opens an incident of another shard's or its own, does
// something to it, and asks on it.
const opens = `
def repair(i, n):
    sim.tag("repair %d" % n)
    i.set(asked = ask("dave", "q%d?" % n, choices = ["Block"]).choice)
    i.close("repaired")

def f(i):
    for n in range(3):
        o = incidents.open("down", type = "outage", dedup = [n % 2], fields = {"n": n}, do = repair, args = {"n": n})
        o.note("seen %d, %s" % (n, o.new))
        if o.new:
            o.assign("family", pick = "less-busy")
            o.escalate("high")
    i.close("opened")
`

// TestACrashWhileIncidentsOpen: wherever the power goes out between two commits,
// each incident is opened once, with one run, and each act is done once.
func TestACrashWhileIncidentsOpen(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 8} {
		play := func(t *testing.T, cut int, atNext bool) (*box, int) {
			b := playbookWith(t, boxConfig{shards: shards}, opens)
			before := b.power.count()
			if cut > 0 {
				b.power.after(cut, atNext)
			}
			match := record.EventMatched{
				Rule: "r", Offer: "o", Bundle: b.bundle, Mode: "live", Severity: "low", Type: "t", Title: "T", Do: engine.Handler{File: "a.star", Name: "f"},
			}
			_, _ = b.offer(0, record.EventMatchedKind, match) // the power may go out
			b.driveAll()
			return b, b.power.count() - before
		}
		b, commits := play(t, 0, false)
		want := b.opened()
		contains(t, "without a crash", want, "outage [0] closed high dave", "outage [1] closed high ana", "seen 0, True", "seen 2, False", "playbook i", "assigns it to ana of the team family")
		if commits < 10 {
			t.Fatalf("got %d commits: too few to say much", commits)
		}
		for n := 1; n < commits; n++ {
			for _, atNext := range []bool{false, true} {
				if !atNext && n%3 > 0 {
					continue // the harder half says nearly all
				}
				t.Run(fmt.Sprintf("%d shards, %d %v", shards, n, atNext), func(t *testing.T) {
					t.Parallel()
					b, _ := play(t, n, atNext)
					b.reopen()
					b.driveAll()
					if got := b.opened(); got != want {
						t.Errorf("got\n%s\nwant\n%s", got, want)
					}
				})
			}
		}
	}
}

// driveAll answers what is asked until every run of every shard is over, or the
// power is out.
func (b *box) driveAll() {
	b.t.Helper()
	b.bell.until(b.t, "all runs are over", func() bool {
		if b.power.isOut() {
			return true
		}
		qs, _, err := b.state.Questions(engine.QuestionFilter{Status: engine.QuestionOpen}, "", 10)
		must(b.t, err)
		if opener, err := b.state.Run("r0-1"); err != nil || opener.Status != engine.RunDone {
			return false
		}
		for _, q := range qs {
			_, _ = b.runner.Answer(context.Background(), q.ID, engine.Reply{Choice: "Block", By: engine.Addressee{Name: "ana"}}) // the power may go out
		}
		runs, _, err := b.state.Runs(engine.RunFilter{}, "", 100)
		must(b.t, err)
		over := len(runs) > 0
		for _, r := range runs {
			over = over && r.Status == engine.RunDone
		}
		return over
	})
}

// opened sums up what there is of each type and values.
func (b *box) opened() string {
	b.t.Helper()
	var lines []string
	for _, i := range b.all() {
		name := strings.TrimSpace(i.Type + " " + i.Dedup)
		lines = append(lines, fmt.Sprintf("%s %s %s %s %s", name, i.Status, i.Severity, i.Owner, i.Fields))
		runs, _, err := b.state.Runs(engine.RunFilter{Incident: i.ID}, "", 10)
		must(b.t, err)
		for _, r := range runs {
			lines = append(lines, fmt.Sprintf("%s: %s i %s", name, r.Purpose, r.Status))
		}
		entries, _, err := b.state.Timeline(i.ID, "", 100)
		must(b.t, err)
		for _, e := range entries {
			if e.Kind != "step_started" && !strings.Contains(e.Text, "opens incident") && !strings.Contains(e.Text, "finds incident") {
				said := strings.NewReplacer("of "+i.ID+": ", "",
					"mail for dave@example.org is not sent any more: it was answered already", "mail handed to the mail server for dave@example.org")
				lines = append(lines, name+": "+said.Replace(e.Text)) // the answer may be faster than the mail
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestWhatWasOpenedStays: a restart of the run that opened it, and the undo of all
// it did, leave the incident, and say so before.
func TestWhatWasOpenedStays(t *testing.T) {
	t.Parallel()
	b := playbook(t, "def f(i):\n    o = incidents.open('down', type = 'outage', dedup = ['x'])\n    sim.block('02:00:00:00:00:07')\n    i.set(new = o.new)\n")
	incident, run := b.play()
	ctx := context.Background()
	p, err := b.runner.PreviewRestart(ctx, run, engine.RestartRequest{Step: "1", By: "ana"})
	must(t, err)
	if len(p.Cannot) != 1 || p.Cannot[0].Builtin != "incidents.open" || len(p.Undone) != 1 {
		t.Errorf("got what stays %+v, undone %+v", p.Cannot, p.Undone)
	}
	contains(t, "result", string(p.Cannot[0].Result), b.all()[1].ID)
	d, err := b.runner.Restart(ctx, run, engine.RestartRequest{Step: "1", By: "ana"})
	if err != nil || !d.Applied {
		t.Fatalf("got %+v, %v", d, err)
	}
	b.bell.until(t, "the second generation is over", func() bool { r := b.run(run); return r.Generation == 2 && r.Status == engine.RunDone })
	if got := b.fact(incident, "new"); got != false || len(b.all()) != 2 {
		t.Errorf("got new %v, %d incidents: want it found", got, len(b.all()))
	}
	d, err = b.runner.Restart(ctx, run, engine.RestartRequest{By: "ana"})
	if err != nil || !d.Applied {
		t.Fatalf("got %+v, %v", d, err)
	}
	b.bell.until(t, "it is undone", func() bool { return b.run(run).Status == engine.RunUndone })
	if i := b.all()[1]; i.Status != engine.IncidentOpen {
		t.Errorf("got %+v", i)
	}
}
