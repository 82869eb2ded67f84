package fault

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"larkspur/engine/record"
)

// moments of a death besides those of plan.
const (
	anywhere = "at any moment"
	opening  = "while opening"
)

// life is one ledger and the processes that die on it, one after the other.
type life struct {
	t      *testing.T
	name   string
	dir    string
	shards int
	rng    *rand.Rand
	truth  *truth
	tally  *tally
	round  int
}

// TestFaults kills, tears and checks. FAULT_KILLS sets how often it kills;
// FAULT_SEED what it does.
func TestFaults(t *testing.T) {
	kills := number(t, "FAULT_KILLS", 30)
	seed := number(t, "FAULT_SEED", 1)
	sum := newTally()
	deaths := deaths(rand.New(rand.NewPCG(uint64(seed), 99)), kills)
	const lanes = 4 // a process waits for the disk mostly
	perLife := min(12, (kills+3)/4)
	lives := slices.Collect(slices.Chunk(deaths, perLife))
	t.Run("lives", func(t *testing.T) {
		for lane := range lanes {
			t.Run(fmt.Sprint("lane ", lane+1), func(t *testing.T) {
				t.Parallel()
				for n := lane; n < len(lives) && !t.Failed(); n += lanes {
					newLife(t, n, seed, sum).through(lives[n])
					t.Logf("life %d of %d is over: %s", n+1, len(lives), sum.progress())
				}
			})
		}
	})
	t.Log("\n" + sum.String())
	if kills >= 1000 {
		sum.everyKind(t, 20)
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

// unplayed are the kinds of records that the callers cannot meet yet, with why.
// Every other kind of engine/record is played, and killed at.
var unplayed = map[record.Kind]string{}

// played lists the kinds that the callers append, in order.
func played() []record.Kind {
	kinds := slices.DeleteFunc(record.Kinds(), func(k record.Kind) bool { return unplayed[k] != "" })
	slices.Sort(kinds)
	return kinds
}

// TestEveryKindIsPlayed lets callers live to their end, and wants every kind of
// record of them.
func TestEveryKindIsPlayed(t *testing.T) {
	t.Parallel()
	l := newLife(t, 0, 77, newTally())
	l.play(plan{Dir: l.dir, Shards: 1, Callers: 6, Frames: 300, Seed: 77, Base: bases(0), Erase: true})
	met := map[record.Kind]bool{}
	for _, frame := range l.truth.kept {
		for _, r := range frame {
			met[r.Kind] = true
		}
	}
	for _, k := range record.Kinds() {
		if why := unplayed[k]; met[k] == (why != "") {
			t.Errorf("%s: met: %v, listed as unplayed: %q; let a caller of tales_test.go append it, or list it in unplayed with the reason", k, met[k], why)
		}
	}
	l.judge("a life without a fault")
}

// deaths lists how processes die: after each kind of record at each stage in
// turn, in three of five cases, and else at any moment, while opening, or while
// the projections are made anew.
func deaths(rng *rand.Rand, n int) []plan {
	kinds := played()
	var list []plan
	for i := range n {
		p := plan{Stage: anywhere}
		switch k := i / 5 * 3; i % 5 {
		case 0, 1, 2: // a kind comes back after all others
			k += i % 5
			p.Kind = kinds[k%len(kinds)]
			p.Stage = []string{committed, decided, acknowledged}[k/len(kinds)%3]
			p.Nth = 1 + rng.IntN(3)
			if p.Kind == record.EpochOpenedKind {
				p.Nth = 1 + rng.IntN(8)
			}
		case 3:
			p.Stage = opening
		case 4:
			if p.Rebuild = i%20 != 9; i%10 == 4 {
				p.Stage, p.Nth = rebuilding, 1+rng.IntN(6)
			}
		}
		list = append(list, p)
	}
	rng.Shuffle(n, func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

func newLife(t *testing.T, n, seed int, sum *tally) *life {
	l := &life{
		t: t, name: fmt.Sprintf("life %d of seed %d", n, seed), dir: t.TempDir(), shards: []int{1, 8}[n%2],
		rng: rand.New(rand.NewPCG(uint64(seed), uint64(n))), truth: newTruth(), tally: sum,
	}
	return l
}

func (l *life) through(deaths []plan) {
	fat := l.rng.IntN(4) == 0
	for _, p := range deaths {
		l.round++
		p.Dir, p.Shards, p.Callers, p.Frames, p.Fat = l.dir, l.shards, 6, 150, fat
		p.Seed, p.Base, p.Jumps = l.rng.Uint64(), bases(l.rng.IntN(5)), l.rng.IntN(4) != 0
		if p.Kind == record.EpochOpenedKind {
			p.Nth = 1 + (p.Nth-1)%l.shards
		}
		p.Erase = !p.Rebuild && (p.Kind == record.ErasedKind || l.rng.IntN(6) == 0)
		l.play(p)
		switch l.rng.IntN(8) {
		case 0, 1, 2:
			l.tear(tears[l.rng.IntN(len(tears))])
		case 3, 4:
			l.litter()
		default:
			l.judge("kill")
		}
		if l.t.Failed() {
			return
		}
	}
	if err := os.RemoveAll(l.dir); err != nil {
		l.t.Error(err)
	}
	l.tally.add("stores", 1)
}

// play runs one process until it is dead.
func (l *life) play(p plan) {
	l.t.Helper()
	l.keepCheckpoint()
	text, err := json.Marshal(p)
	must(l.t, err)
	r, w, err := os.Pipe()
	must(l.t, err)
	defer r.Close()
	var stderr bytes.Buffer
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), planEnv+"="+string(text))
	cmd.ExtraFiles, cmd.Stderr = []*os.File{w}, &stderr
	must(l.t, cmd.Start())
	w.Close()
	lines := bufio.NewReaderSize(r, 1<<20)
	for {
		text, err := lines.ReadBytes('\n')
		if err != nil {
			break // the end; what follows the last newline was cut
		}
		said, err := l.truth.hear(text)
		must(l.t, err)
		l.heard(p, said, cmd)
	}
	err = cmd.Wait()
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case status.Signaled() && status.Signal() == syscall.SIGKILL:
		l.tally.killed(p)
	case err == nil:
		l.tally.add("lived to their end", 1)
	default:
		l.t.Fatalf("%s, round %d: the process gave up: %v\n%s", l.name, l.round, err, &stderr)
	}
}

// heard kills from outside, a random span after a sign of life.
func (l *life) heard(p plan, said line, cmd *exec.Cmd) {
	l.tally.add(said.Say, 1)
	switch {
	case said.Say == "begin" && p.Stage == opening:
		time.AfterFunc(time.Duration(l.rng.Int64N(int64(60*time.Millisecond))), func() { cmd.Process.Kill() })
	case said.Say == "opened" && p.Stage == anywhere:
		time.AfterFunc(time.Duration(l.rng.Int64N(int64(150*time.Millisecond))), func() { cmd.Process.Kill() })
	}
}

// keepCheckpoint lays the newest checkpoint beside the store.
func (l *life) keepCheckpoint() {
	if n := len(l.truth.notes); n > 0 {
		must(l.t, os.WriteFile(filepath.Join(l.dir, "checkpoint"), []byte(l.truth.notes[n-1]), 0o600))
	}
}

// judge checks a copy of what is on the disk, and keeps what it found.
func (l *life) judge(after string) {
	l.t.Helper()
	if l.t.Failed() {
		return
	}
	l.keepCheckpoint()
	dir := l.t.TempDir()
	must(l.t, duplicate(l.dir, dir))
	l.tally.add("checked after "+after, 1)
	found, records, wrong := check(l.truth, dir)
	l.tally.checked(records)
	if len(wrong) == 0 {
		l.truth.adopt(found)
		must(l.t, os.RemoveAll(dir))
		return
	}
	for _, err := range wrong[:min(len(wrong), 5)] {
		l.t.Errorf("%s, %d shards, round %d, after %s: %v", l.name, l.shards, l.round, after, err)
	}
	l.keep(after)
}

// keep copies what a failed check was about where FAULT_KEEP says.
func (l *life) keep(after string) {
	to := os.Getenv("FAULT_KEEP")
	if to == "" {
		return
	}
	to = filepath.Join(to, strings.ReplaceAll(fmt.Sprintf("%s round %d %s", l.name, l.round, after), " ", "-"))
	must(l.t, duplicate(l.dir, to))
	l.t.Logf("kept as %s", to)
}

func (l *life) tear(how string) {
	if l.t.Failed() {
		return
	}
	tail, err := l.truth.tear(l.rng, filepath.Join(l.dir, "ledger"), how)
	must(l.t, err)
	if tail > 0 {
		l.tally.add("torn with unsynced bytes", 1)
	}
	l.judge("torn: " + how)
}

func (l *life) litter() {
	if l.t.Failed() {
		return
	}
	made, err := l.truth.litter(l.rng, filepath.Join(l.dir, "ledger"))
	must(l.t, err)
	l.tally.add("empty or cut logs", made)
	l.judge("empty logs")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tally counts what was done, for the table at the end.
type tally struct {
	began time.Time

	mu     sync.Mutex // guards what follows
	counts map[string]int
	kinds  map[record.Kind]map[string]int
}

func newTally() *tally {
	return &tally{began: time.Now(), counts: map[string]int{}, kinds: map[record.Kind]map[string]int{}}
}

func (s *tally) add(what string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[what] += n
}

func (s *tally) killed(p plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts["kills"]++
	if p.Kind == 0 {
		s.counts["killed "+p.Stage]++
		return
	}
	if s.kinds[p.Kind] == nil {
		s.kinds[p.Kind] = map[string]int{}
	}
	s.kinds[p.Kind][p.Stage]++
}

func (s *tally) checked(records int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts["checks"]++
	s.counts["records read by checks"] += records
}

func (s *tally) everyKind(t *testing.T, want int) {
	for _, k := range played() {
		got := 0
		for _, n := range s.kinds[k] {
			got += n
		}
		if got < want {
			t.Errorf("%d processes were killed at %s, want %d", got, k, want)
		}
	}
}

func (s *tally) progress() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("%d kills and %d checks in all", s.counts["kills"], s.counts["checks"])
}

func (s *tally) String() string {
	var b strings.Builder
	kinds := record.Kinds()
	slices.Sort(kinds)
	if len(s.kinds) > 0 {
		fmt.Fprintf(&b, "| killed at | %s | %s | %s |\n|---|---|---|---|\n", decided, committed, acknowledged)
		for _, k := range kinds {
			n := s.kinds[k]
			fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", k, n[decided], n[committed], n[acknowledged])
		}
	}
	fmt.Fprintf(&b, "\n| what | how often |\n|---|---|\n")
	names := make([]string, 0, len(s.counts))
	for name := range s.counts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "| %s | %d |\n", name, s.counts[name])
	}
	fmt.Fprintf(&b, "| seconds | %.0f |\n", time.Since(s.began).Seconds())
	return b.String()
}
