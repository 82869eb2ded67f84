package fault

import (
	_ "embed"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/sandbox/sandboxtest"
)

//go:embed plays.star
var script string

// Moments of a death besides those of peer and plan.
const (
	anywhere = "at any moment"
	opening  = "while opening"
)

// TestFaults kills a process that carries playbooks, and checks. FAULT_KILLS sets
// how often it kills; FAULT_SEED what it does.
func TestFaults(t *testing.T) {
	kills := number(t, "FAULT_KILLS", 24)
	seed := number(t, "FAULT_SEED", 1)
	sum := newTally()
	k := kit{child: withoutRace(t), worker: sandboxtest.Binary(t)}
	const lanes, perWorld = 2, 12
	worlds := (kills + perWorld - 1) / perWorld
	t.Run("worlds", func(t *testing.T) {
		for lane := range lanes {
			t.Run(fmt.Sprint("lane ", lane+1), func(t *testing.T) {
				t.Parallel()
				for n := lane; n < worlds && !t.Failed(); n += lanes {
					t.Run(fmt.Sprint("world ", n), func(t *testing.T) {
						newWorld(t, n, seed, k, sum).through(min(perWorld, kills-n*perWorld))
					})
					t.Logf("world %d of 0 to %d is over: %s", n, worlds-1, sum.progress())
				}
			})
		}
	})
	t.Log("\n" + sum.String())
	if kills >= 1000 {
		sum.everyKind(t, 5)
	}
}

func number(t *testing.T, name string, standard int) int {
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s: got %q, want a number", name, text)
	}
	return n
}

// withoutRace returns this test binary, built without the race detector: a child
// is to die often, not slowly.
func withoutRace(t *testing.T) string {
	t.Helper()
	info, _ := debug.ReadBuildInfo()
	if info == nil || !slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return os.Args[0]
	}
	path := filepath.Join(t.TempDir(), "child")
	cmd := exec.Command("go", "test", "-c", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the child: %v\n%s", err, out)
	}
	return path
}

// elsewhere are kinds of records that no play of plays.star makes, and nobody who
// deals with runs here: engine/ledger/fault kills at them.
var elsewhere = map[record.Kind]bool{
	record.LoggedInKind: true, record.LoggedOutKind: true, record.ExportedKind: true, record.ErasedKind: true, record.KeyRotatedKind: true, record.RebuiltKind: true,
	record.ClockHeldKind: true, record.JobStartedKind: true, record.DevicePairedKind: true, record.DeviceRevokedKind: true, record.SignInOfferedKind: true,
}

// met lists the kinds that runs make, and those who deal with them.
func met() []record.Kind {
	kinds := slices.DeleteFunc(record.Kinds(), func(k record.Kind) bool { return elsewhere[k] })
	slices.Sort(kinds)
	return kinds
}

func newWorld(t *testing.T, n, seed int, k kit, sum *tally) *world {
	rng := rand.New(rand.NewPCG(uint64(seed), uint64(n)))
	w := &world{
		t: t, name: fmt.Sprintf("world %d of seed %d", n, seed), rng: rng, peer: newPeer(t, rng.Uint64()), tally: sum, kit: k,
		flying: map[string]string{}, inflight: map[string]int{},
	}
	w.plan = plan{
		Dir: t.TempDir(), Shards: []int{1, 4}[n%2], Worker: k.worker, Script: script, Connections: w.peer.connections(),
		Now: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC),
	}
	return w
}

// through plays a world: so many deaths, then everything comes to its end, and is
// checked.
func (w *world) through(kills int) {
	for n := range kills {
		w.live(n)
		if w.t.Failed() {
			return
		}
	}
	w.settle()
	if !w.t.Failed() {
		w.check()
	}
	w.tally.add("worlds", 1)
}

// maxTurns bounds a life whose death does not come by itself.
const maxTurns = 80

// live plays a process until it is dead.
func (w *world) live(n int) {
	p, t, late := w.fate(n)
	l := w.start(p, t)
	if late == opening {
		time.AfterFunc(time.Duration(w.rng.IntN(120))*time.Millisecond, func() { l.kill(opening) })
	}
	select {
	case <-l.opened:
	case <-l.dead:
		l.over()
		return
	case <-time.After(patience):
		w.t.Fatalf("%s, round %d: the process does not open\n%s", w.name, w.round, &l.stderr)
	}
	if late == anywhere {
		time.AfterFunc(time.Duration(w.rng.IntN(500))*time.Millisecond, func() { l.kill(anywhere) })
	}
	l.resend()
	for range maxTurns {
		if _, alive := l.turn(); !alive {
			l.over()
			return
		}
	}
	l.kill(anywhere)
	l.over()
}

// fate says how a process dies: after a kind of record in half of the cases, at
// an effect's arrival in a quarter, else at any moment or while opening.
func (w *world) fate(n int) (p plan, t trap, late string) {
	p = w.plan
	p.Script = strings.Repeat("# another version\n", w.rng.IntN(3)) + script
	switch n % 8 {
	case 1, 3, 5, 7:
		p.Kind, p.Stage = w.tally.rarest(w)
		p.Nth = 1 + w.rng.IntN(3)
		if p.Kind == record.BundleActivatedKind || p.Kind == record.StepDoubtedKind || p.Kind == record.WorkerDiedKind || p.Kind == record.EpochOpenedKind {
			p.Nth = 1
		}
	case 2, 6:
		t.at = []string{unheard, unsaid, answered}[w.rng.IntN(3)]
		t.after = 1 + w.rng.IntN(12)
	case 4:
		late = opening
	default:
		late = anywhere
	}
	return p, t, late
}

// tally counts what was done, for the table at the end.
type tally struct {
	began time.Time

	mu     sync.Mutex // guards what follows
	counts map[string]int
	kinds  map[record.Kind]map[string]int
	taken  map[record.Kind]int // how often a life was to end there
}

func newTally() *tally {
	return &tally{began: time.Now(), counts: map[string]int{}, kinds: map[record.Kind]map[string]int{}, taken: map[record.Kind]int{}}
}

// rarest returns the kind at which processes were to die least, of those that the
// next life of a world may come to.
func (s *tally) rarest(w *world) (record.Kind, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var best record.Kind
	for _, k := range met() {
		if (k == record.StepDoubtedKind || k == record.StepResolvedKind) && !w.doubts {
			continue
		}
		if best == 0 || s.taken[k] < s.taken[best] {
			best = k
		}
	}
	s.taken[best]++
	return best, []string{committed, decided}[s.taken[best]%2]
}

func (s *tally) add(what string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[what] += n
}

// most keeps the largest of what was seen.
func (s *tally) most(what string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[what] = max(s.counts[what], n)
}

func (s *tally) killed(p plan, by string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts["kills"]++
	if by != p.Kind.String() {
		s.counts["killed "+by]++
		return
	}
	if s.kinds[p.Kind] == nil {
		s.kinds[p.Kind] = map[string]int{}
	}
	s.kinds[p.Kind][p.Stage]++
}

// everyKind wants processes to have been killed at each kind that a play makes.
func (s *tally) everyKind(t *testing.T, want int) {
	for _, k := range met() {
		if s.counts["worlds without "+k.String()] == s.counts["worlds"] {
			t.Logf("no play makes a record of kind %s", k)
			continue
		}
		if got := s.kinds[k][decided] + s.kinds[k][committed]; got < want {
			t.Errorf("%d processes were killed at %s, want %d", got, k, want)
		}
	}
}

func (s *tally) progress() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("%d kills in all, %.0f s", s.counts["kills"], time.Since(s.began).Seconds())
}

func (s *tally) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "| killed at | %s | %s |\n|---|---|---|\n", decided, committed)
	for _, k := range met() {
		fmt.Fprintf(&b, "| %s | %d | %d |\n", k, s.kinds[k][decided], s.kinds[k][committed])
	}
	fmt.Fprintf(&b, "\n| what | how often |\n|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(s.counts)) {
		fmt.Fprintf(&b, "| %s | %d |\n", name, s.counts[name])
	}
	fmt.Fprintf(&b, "| seconds | %.0f |\n", time.Since(s.began).Seconds())
	return b.String()
}

// settle lets a last process live until nothing is left to do: people say what
// is in doubt, answer what is asked, and let time pass.
func (w *world) settle() {
	l := w.start(w.plan, trap{})
	select {
	case <-l.opened:
	case <-l.dead:
		l.over()
	}
	l.resend()
	for turns, done := 0, 0; done < 3; turns++ {
		var v view
		said, alive := l.ask(command{Do: "look"}, &v)
		w.expect("look", said)
		if !alive {
			l.over()
			return
		}
		if done++; !l.tidy(v) {
			done = 0
		}
		if turns > 20000 {
			w.t.Fatalf("%s: it does not come to an end: %s", w.name, unsettled(v))
		}
	}
	l.stop()
}

// tidy does what is left to do; done when there is nothing.
func (l *life) tidy(v view) (done bool) {
	w := l.w
	busy := slices.ContainsFunc(v.Runs, func(r engine.Run) bool { return r.Status == engine.RunRunning })
	open := slices.DeleteFunc(v.Questions, func(q engine.Question) bool { return q.Text == forEver })
	switch {
	case v.Brake:
		l.wish(command{Do: "brake", With: "off"})
	case len(v.Doubts) > 0:
		for _, d := range v.Doubts {
			l.wish(w.verdict(d))
		}
	case busy:
		l.pause(v)
	case len(open) > 0 && w.rng.IntN(3) > 0:
		l.wish(w.answer(open[0]))
	case !v.Next.IsZero() && v.Next.After(v.Now):
		l.sure(command{Do: "advance", To: v.Next})
	case !v.Next.IsZero():
		l.pause(v) // it fires
	case len(open) > 0:
		l.wish(w.answer(open[0]))
	default:
		return !l.letGo(v)
	}
	return false
}

// letGo lets effects go on that are held and of which nobody is asked: they stand
// on the page of the brake.
func (l *life) letGo(v view) (any bool) {
	for _, r := range v.Runs {
		for _, step := range strings.Fields(r.Held) {
			any = true
			l.wish(command{Do: "resolve", What: r.ID, Step: step, With: engine.OutcomeRelease})
			l.w.tally.add("held effects that nobody was asked about", 1)
		}
	}
	return any
}

// pause waits while the process works. A run that was put off by a fault waits
// for the clock.
func (l *life) pause(v view) {
	l.sure(command{Do: "await"})
	if l.w.rng.IntN(50) == 0 {
		l.sure(command{Do: "advance", To: v.Now.Add(time.Second)})
	}
}
