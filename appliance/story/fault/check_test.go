package fault

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/store"
)

// effect is a step that changes the world, as the ledger tells of it: one for
// each key.
type effect struct {
	key     string
	class   engine.Class
	builtin string
	mac     string // that it blocks
	starts  int    // that were let go to the world
	again   int    // a person said: do it again
	doubts  int
	said    string // what a person said of it last
	done    bool
	failed  bool
	probed  bool
}

// checker holds the ledger that all these deaths left to what the peer saw.
type checker struct {
	w       *world
	store   *store.Store
	ledger  *ledger.Ledger
	state   *state.State
	effects map[string]*effect // by key
	present map[string]string  // keys by RUN STEP: of the generation that began it last
	kinds   map[record.Kind]int
	runs    map[string]engine.Run
	about   []string // runs that something is wrong with
}

func (c *checker) fault(format string, a ...any) {
	c.w.t.Helper()
	text := fmt.Sprintf(format, a...)
	c.w.t.Errorf("%s: %s", c.w.name, text)
	c.about = append(c.about, runID.FindAllString(text, -1)...)
}

var runID = regexp.MustCompile(`r\d+-\d+`)

// tell shows what the ledger holds, and the peer saw, of runs that something is
// wrong with.
func (c *checker) tell() {
	slices.Sort(c.about)
	for _, run := range slices.Compact(c.about) {
		shard, _, _ := engine.ParseID('r', run)
		must(c.w.t, c.ledger.Records(shard, 0, func(r ledger.Record) bool {
			if text := string(r.Payload) + string(r.Outcome); strings.Contains(text, `"`+run+`"`) || strings.Contains(text, `"`+run+`/`) {
				c.w.t.Logf("%d %s %s → %s", r.Header.Record, r.Header.Kind, r.Payload, r.Outcome)
			}
			return true
		}))
		for _, a := range c.w.peer.arrivals {
			if strings.HasPrefix(a.Key, run+"/") {
				c.w.t.Logf("at the peer: %+v", a)
			}
		}
	}
}

// check holds everything that a world must hold at its end.
func (w *world) check() {
	w.t.Helper()
	c := &checker{w: w, effects: map[string]*effect{}, present: map[string]string{}, kinds: map[record.Kind]int{}, runs: map[string]engine.Run{}}
	c.open()
	defer func() {
		c.ledger.Close()
		must(w.t, c.store.Close())
	}()
	c.verify()
	for shard := range uint16(c.ledger.Shards()) {
		must(w.t, c.ledger.Records(shard, 0, func(r ledger.Record) bool {
			c.kinds[r.Header.Kind]++
			c.read(r)
			return true
		}))
	}
	c.tookPlace()
	c.probed()
	c.doubts()
	c.ended()
	c.taken()
	c.undone()
	c.inForce()
	c.rebuilt()
	c.count()
	c.tell()
}

func (c *checker) open() {
	var err error
	c.store, err = store.OpenScratch(filepath.Join(c.w.plan.Dir, "ledger"))
	must(c.w.t, err)
	blobs, err := store.OpenBlobs(filepath.Join(c.w.plan.Dir, "blobs"))
	must(c.w.t, err)
	c.ledger, err = ledger.Open(ledger.Config{Store: c.store, Projector: state.NewProjector(nil), Clock: newClock(c.w.plan.Now), Node: "check", Engine: "test"})
	must(c.w.t, err)
	c.state = state.Open(c.store, blobs, c.ledger)
}

// verify holds that each record is a leaf of its shard's tree.
func (c *checker) verify() {
	for shard := range uint16(c.ledger.Shards()) {
		size := c.ledger.Size(shard)
		root, err := c.ledger.Root(shard, size)
		must(c.w.t, err)
		for n := range size {
			if err := c.leaf(shard, n, size, root); err != nil {
				c.fault("record %d of shard %d: %v", n, shard, err)
				return
			}
		}
	}
}

func (c *checker) leaf(shard uint16, n, size uint64, root tlog.Hash) error {
	text, err := c.ledger.LeafOf(shard, n)
	if err != nil {
		return err
	}
	leaf, err := tlog.ParseHash(text)
	if err != nil {
		return err
	}
	proof, err := c.ledger.InclusionProof(shard, n, size)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(proof, int64(size), root, int64(n), leaf)
}

// read takes from a record what it says of effects.
func (c *checker) read(r ledger.Record) {
	o, err := record.Unmarshal[record.Outcome](r.Outcome)
	if err != nil || !o.Applied {
		return
	}
	switch r.Header.Kind {
	case record.StepStartedKind:
		c.started(of[record.StepStarted](c, r), o)
	case record.StepDoneKind:
		s := of[record.StepDone](c, r)
		if e := c.effects[c.present[s.Run+" "+engine.StepID(s.Path, s.Number)]]; e != nil {
			e.done, e.failed, e.probed = true, s.Error != nil, s.Probed
		}
	case record.StepDoubtedKind:
		s := of[record.StepDoubted](c, r)
		if e := c.effects[c.present[s.Run+" "+engine.StepID(s.Path, s.Number)]]; e != nil {
			e.doubts++
		} else {
			c.fault("%s of %s is in doubt, and was never started", engine.StepID(s.Path, s.Number), s.Run)
		}
	case record.StepResolvedKind:
		s := of[record.StepResolved](c, r)
		if e := c.effects[c.present[s.Run+" "+engine.StepID(s.Path, s.Number)]]; e != nil {
			if e.said = s.Outcome; s.Outcome == engine.OutcomeAgain {
				e.again++
			}
		}
	}
}

func of[T any](c *checker, r ledger.Record) T {
	v, err := record.Unmarshal[T](r.Payload)
	must(c.w.t, err)
	return v
}

func (c *checker) started(s record.StepStarted, o record.Outcome) {
	if !s.Effect {
		return
	}
	key := keyOf(s.Run, s.Generation, s.Path, s.Number)
	c.present[s.Run+" "+engine.StepID(s.Path, s.Number)] = key
	e := c.effects[key]
	if e == nil {
		e = &effect{key: key, class: s.Class, builtin: s.Builtin, mac: textOf(c, s.Args, "mac")}
		c.effects[key] = e
	}
	if o.Action == "" { // nothing holds it
		e.starts++
	}
}

// tookPlace compares effects with arrivals. One of class once arrives once, and
// again only when a person said so; a repeatable one always has its key; what is
// done arrived, what never began did not.
func (c *checker) tookPlace() {
	seen := map[string]int{}
	for _, a := range c.w.peer.arrivals {
		seen[a.Key]++
		switch e := c.effects[a.Key]; {
		case e == nil || e.starts == 0:
			c.fault("%s %s of step %s is at the peer, and the ledger says that it never began", a.Path, a.What, a.Key)
		case e.class == engine.Repeatable && a.Idem != a.Key:
			c.fault("%s arrived with the key %q", a.Key, a.Idem)
		case e.class == engine.Once && a.Idem != "":
			c.fault("%s is of class once, and arrived with the key %q", a.Key, a.Idem)
		}
	}
	for _, e := range c.effects {
		n := seen[e.key]
		if e.class == engine.Once && n > 1+e.again {
			c.fault("%s arrived %d times, and a person said %d times to do it again", e.key, n, e.again)
		}
		if n > 1 && e.class == engine.Once {
			c.w.tally.add("effects done again because a person said so", 1)
		}
		if n > 1 && e.class == engine.Repeatable {
			c.w.tally.add("repeatable effects that came again with their key", 1)
		}
		onPeer := strings.HasPrefix(e.builtin, "http.")
		if onPeer && e.done && !e.failed && n == 0 {
			c.fault("%s is done, and never arrived", e.key)
		}
	}
	c.w.tally.add("effects", len(c.effects))
	c.w.tally.add("effects that the peer saw", len(c.w.peer.arrivals))
}

// probed holds that the controller, which can be asked, was told everything once.
func (c *checker) probed() {
	began, came := map[string]int{}, map[string]int{}
	for _, e := range c.effects {
		began[e.builtin+e.mac] += min(e.starts, 1) + e.again
	}
	for _, command := range c.w.peer.controller.Commands() {
		builtin := map[string]string{"block-sta": "unifi.block", "unblock-sta": "unifi.unblock"}[command.Name]
		came[builtin+command.MAC]++
	}
	for what, n := range came {
		c.w.tally.add("commands that the controller saw", n)
		if n > began[what] {
			c.fault("%s came %d times, and the ledger has %d", what, n, began[what])
		}
	}
}

// doubts holds that nothing is in doubt that was not in flight at a kill.
func (c *checker) doubts() {
	for _, e := range c.effects {
		if in := c.w.inflight[e.key]; e.doubts > in {
			c.fault("%s was in doubt %d times, and in flight at %d kills", e.key, e.doubts, in)
		}
		c.w.tally.add("doubts", e.doubts)
		if e.probed {
			c.w.tally.add("effects of which the world said that they had happened", 1)
		}
		if e.said != "" {
			c.w.tally.add("a person said: "+e.said, 1)
		}
	}
}

// ended holds that every run ended, or says what it waits for.
func (c *checker) ended() {
	all, err := every(func(cursor string) ([]engine.Run, string, error) {
		return c.state.Runs(engine.RunFilter{}, cursor, 200)
	})
	must(c.w.t, err)
	for _, r := range all {
		c.runs[r.ID] = r
		c.w.tally.add("runs "+r.Status, 1)
		switch r.Status {
		case engine.RunDone, engine.RunUndone, engine.RunQuarantined:
			if r.Ended.IsZero() {
				c.fault("run %s is %s, and did not end", r.ID, r.Status)
			}
		case engine.RunFailed:
			c.failed(r)
		case engine.RunWaiting:
			if r.Waits == "" || r.Rule != forEverRule {
				c.fault("run %s of %s waits for %q", r.ID, r.Rule, r.Waits)
			}
		default:
			c.fault("run %s of %s is %s at the end of all: %+v", r.ID, r.Rule, r.Status, r.Error)
		}
		if r.Restart != nil {
			c.fault("run %s has a restart that does not end: %+v", r.ID, r.Restart)
		}
	}
	c.w.tally.add("runs", len(all))
}

// forEverRule asks what nobody answers.
const forEverRule = "for-ever"

// failed wants a run that failed to have a reason that its playbook gives.
func (c *checker) failed(r engine.Run) {
	e := r.Error
	if e == nil || !strings.Contains(e.Message, "as planned") && e.Kind != engine.Denied && e.Kind != engine.Closed {
		c.fault("run %s of %s failed: %+v", r.ID, r.Rule, e)
	}
}

// taken wants each event to have opened one incident, or to be attached to it.
func (c *checker) taken() {
	all, err := every(func(cursor string) ([]engine.Incident, string, error) {
		return c.state.Incidents(engine.IncidentFilter{}, cursor, 200)
	})
	must(c.w.t, err)
	events, opened := map[string]int{}, map[string]int{}
	for _, e := range c.w.events {
		events[e.hook+" "+e.n]++
	}
	for _, i := range all {
		if i.Event != "" {
			opened[i.Title] += i.Events
		}
	}
	for title, n := range events {
		if opened[title] != n {
			c.fault("%d events of %q were sent, incidents have %d", n, title, opened[title])
		}
	}
}

// undone holds that each undo of several changes took back the newest first.
func (c *checker) undone() {
	for _, r := range c.runs {
		if r.Purpose != state.PurposeUndo || len(r.Changes) < 2 {
			continue
		}
		c.w.tally.add("undos of several changes", 1)
		var want, got []string
		last := uint64(0)
		for n, id := range r.Changes {
			ch, err := c.state.Change(id)
			must(c.w.t, err)
			number := numberOf(id)
			if n > 0 && number > last {
				c.fault("run %s takes back %s after an older one: %v", r.ID, id, r.Changes)
			}
			last = number
			if thing := textOf(c, ch.Args, "thing"); ch.Status == engine.ChangeUndone {
				want = append(want, thing)
			}
		}
		for _, a := range c.w.peer.arrivals {
			if a.Path == "off" && strings.HasPrefix(a.Key, r.ID+"/") && !slices.Contains(got, a.What) {
				got = append(got, a.What)
			}
		}
		want = slices.DeleteFunc(want, func(thing string) bool { return !slices.Contains(got, thing) })
		if !slices.Equal(got, want) {
			c.fault("run %s took back %v, want %v", r.ID, got, want)
		}
	}
}

func numberOf(id string) uint64 {
	_, after, _ := strings.Cut(id, "-")
	n, _ := strconv.ParseUint(after, 10, 64)
	return n
}

// textOf is a text among arguments.
func textOf(c *checker, args engine.Data, name string) string {
	if len(args) == 0 {
		return ""
	}
	v, err := args.Value()
	must(c.w.t, err)
	given, _ := v.(map[string]engine.Value)
	text, _ := given[name].(string)
	return text
}

// inForce compares the changes in force with the world.
func (c *checker) inForce() {
	all, err := every(func(cursor string) ([]engine.Change, string, error) {
		return c.state.Changes(engine.ChangeFilter{}, cursor, 200)
	})
	must(c.w.t, err)
	slices.SortFunc(all, func(a, b engine.Change) int { return int(numberOf(a.ID)) - int(numberOf(b.ID)) })
	on := map[string]engine.Change{}
	for _, ch := range all {
		c.w.tally.add("changes "+ch.Status, 1)
		if thing := textOf(c, ch.Args, "thing"); thing != "" {
			if was, ok := on[thing]; !ok || was.Status != engine.ChangeInForce {
				on[thing] = ch
			}
		}
		mac := textOf(c, ch.InverseArgs, "mac")
		if mac != "" && ch.Status == engine.ChangeInForce && !c.w.peer.controller.Blocked(mac) {
			c.fault("%s is not blocked, and its change %s of %s is %s", mac, ch.ID, ch.Run, ch.Status)
		}
	}
	for thing, ch := range on {
		if is, want := c.w.peer.things[thing], ch.Status == engine.ChangeInForce; is && !want {
			c.leftOn(thing, all)
		} else if is != want {
			c.fault("%s is on: %v, and its change %s of %s is %s", thing, is, ch.ID, ch.Run, ch.Status)
		}
	}
	for thing, is := range c.w.peer.things {
		if _, ok := on[thing]; is && !ok {
			c.leftOn(thing, all)
		}
	}
}

// leftOn wants a thing that is on, and has no change in force, to be switched on
// last by a run that was restarted, undone or quarantined before it had made a
// change of that.
func (c *checker) leftOn(thing string, all []engine.Change) {
	var last arrival
	for _, a := range c.w.peer.arrivals {
		if a.What == thing {
			last = a
		}
	}
	run, rest, _ := strings.Cut(last.Key, "/")
	generation, _, _ := strings.Cut(rest, "/")
	r := c.runs[run]
	led := len(r.Branches) > 0 || r.Status == engine.RunUndone || r.Status == engine.RunQuarantined
	made := slices.ContainsFunc(all, func(ch engine.Change) bool {
		return ch.Run == run && strconv.Itoa(max(ch.Generation, 1)) == generation && textOf(c, ch.Args, "thing") == thing
	})
	if !led || made {
		c.fault("%s is on, last by %s, and run %s has no change of it in force: %+v", thing, last.Key, run, r)
		return
	}
	c.w.tally.add("things left on by a run that was led elsewhere before its change", 1)
}

// rebuilt makes the projections anew and wants them equal.
func (c *checker) rebuilt() {
	d, err := c.ledger.Renew(c.w.t.Context(), nil)
	must(c.w.t, err)
	if d.Differ > 0 {
		c.fault("%d of %d entries differ from what the records give: %q", d.Differ, d.Compared, d.First)
	}
	c.w.tally.add("entries of projections compared", int(d.Compared))
}

func (c *checker) count() {
	for _, k := range met() {
		c.w.tally.add("records", c.kinds[k])
		if c.kinds[k] == 0 {
			c.w.tally.add("worlds without "+k.String(), 1)
		}
	}
}

// unsettled says of what does not come to an end what it is.
func unsettled(v view) string {
	var b strings.Builder
	for _, r := range v.Runs {
		if r.Status != engine.RunDone && r.Status != engine.RunFailed {
			fmt.Fprintf(&b, "\n%s of %s (%s): %s %s, %+v", r.ID, r.Rule, r.Purpose, r.Status, r.Waits, r.Error)
		}
	}
	return b.String()
}
