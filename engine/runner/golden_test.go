package runner_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/store"
)

// update makes the golden store of today's schema anew, while that schema is not
// released. Those of older schemas are never changed.
var update = flag.Bool("update", false, "make the golden store of today's schema anew")

// golden is a playbook with something of everything.
const golden = `
def f(i):
    large = sim.read("x" * 20000)
    sim.block("02:00:00:00:00:07", expires = "8h", why = "homework")
    sim.mail("dave@example.org")
    a = ask("dave", "What now?", choices = {"Allow": "nothing", "Block": "no network"}, timeout = "2h", default = "Allow")
    i.set(choice = a.choice, read = len(large))
    sleep("1h")
    i.close("answered: " + a.choice, quiet = "1h")

def night(n):
    sim.tag("night %d" % n)
    sleep("24h")
`

// TestGoldenStoreIsMade plays a small house into a store, and keeps it as golden
// with -update: an incident that is over with its change taken back, one whose
// change is in force, one that waits for an answer, a job's run that sleeps.
func TestGoldenStoreIsMade(t *testing.T) {
	t.Parallel()
	b := playbook(t, golden)
	over, run := b.start()
	b.answerNext(run)
	b.advance(time.Hour)
	b.status(run, engine.RunDone)
	d, err := b.runner.UndoChange(t.Context(), b.change(over, engine.ChangeInForce).ID, "dave", "homework is done", false)
	must(t, err)
	if !d.Applied {
		t.Fatalf("got %+v, want the change taken back", d)
	}
	b.change(over, engine.ChangeUndone)

	b.clock.set(b.clock.Now().Add(2 * time.Hour))
	_, second := b.start()
	b.answerNext(second)
	_, asks := b.start()
	b.status(asks, engine.RunWaiting)
	night := b.append(0, record.JobFiredKind, record.JobFired{
		Args: engine.MustEncode(map[string]engine.Value{"n": int64(7)}), Bundle: b.bundle, Do: engine.Handler{File: "a.star", Name: "night"},
		Instant: b.clock.Now(), Job: "night", Mode: "live", Offer: "night/1",
	})
	b.status(night.Run, engine.RunWaiting)
	b.append(0, record.LoggedInKind, record.LoggedIn{How: "login link", Who: "dave"})
	b.idleRuns(t)
	b.close()

	g := openGolden(t, b.dir)
	signed, err := g.ledger.Sign()
	must(t, err)
	dump := g.dump()
	g.close(t)
	if *update {
		path := filepath.Join("testdata", fmt.Sprintf("schema-%d", store.Schema))
		must(t, os.WriteFile(path+".checkpoint", signed, 0o644))
		must(t, os.WriteFile(path+".dump", []byte(dump), 0o644))
		must(t, os.WriteFile(path+".tar.gz", pack(t, b.dir), 0o644))
	}
}

// answerNext answers the question of a run, and waits until it sleeps.
func (b *box) answerNext(run string) {
	b.t.Helper()
	b.bell.until(b.t, "the question is there", func() bool { return b.run(run).Status == engine.RunWaiting })
	b.answer(b.question().ID, engine.Reply{Choice: "Block", By: engine.Addressee{Name: "dave"}, How: "page", Proof: engine.ProofToken})
	b.bell.until(b.t, "the run sleeps", func() bool { return strings.HasPrefix(b.run(run).Waits, "until") })
}

// idleRuns waits until no run wants a worker.
func (b *box) idleRuns(t *testing.T) {
	t.Helper()
	b.bell.until(t, "no run wants a worker", func() bool {
		ready, err := b.state.Ready(0)
		must(t, err)
		return len(ready) == 0
	})
}

// goldenStore is a store that nobody works on.
type goldenStore struct {
	store  *store.Store
	ledger *ledger.Ledger
	state  *state.State
}

func openGolden(t *testing.T, dir string) *goldenStore {
	t.Helper()
	g, err := openGoldenWith(t, dir, state.NewProjector(nil))
	must(t, err)
	return g
}

func openGoldenWith(t *testing.T, dir string, p ledger.Projector) (*goldenStore, error) {
	t.Helper()
	s, err := store.OpenLedger(filepath.Join(dir, "ledger"))
	must(t, err)
	blobs, err := store.OpenBlobs(filepath.Join(dir, "blobs"))
	must(t, err)
	signer, err := ledger.LoadSigner(filepath.Join(dir, "key"), "larkspur")
	must(t, err)
	at := newClock(newBell())
	at.set(time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC))
	l, err := ledger.Open(ledger.Config{Store: s, Projector: p, Clock: at, Node: "golden", Engine: "test", Signer: signer})
	if err != nil {
		must(t, s.Close())
		return nil, err
	}
	return &goldenStore{s, l, state.Open(s, blobs, l)}, nil
}

func (g *goldenStore) close(t *testing.T) {
	t.Helper()
	g.ledger.Close()
	must(t, g.store.Close())
}

// dump writes every projection, one a line: key and value. The position and the
// version of the program are not told: each opening changes them.
func (g *goldenStore) dump() string {
	var out strings.Builder
	view := g.store.View()
	defer view.Close()
	for class := byte('A'); class <= 'z'; class++ {
		if class == 'p' || class == 'g' {
			continue
		}
		view.Scan([]byte{class}, nil, false, func(k, v []byte) bool {
			fmt.Fprintf(&out, "%q %q\n", k, v)
			return true
		})
	}
	return out.String()
}

// pack makes an archive of a closed state folder, without what is made anew.
func pack(t *testing.T, dir string) []byte {
	t.Helper()
	var out bytes.Buffer
	zip, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	must(t, err)
	files := tar.NewWriter(zip)
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "ballast" || d.Name() == "LOCK" {
			return err
		}
		content, err := os.ReadFile(path)
		must(t, err)
		name, err := filepath.Rel(dir, path)
		must(t, err)
		must(t, files.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(content)), Format: tar.FormatUSTAR}))
		_, err = files.Write(content)
		return err
	}))
	must(t, errors.Join(files.Close(), zip.Close()))
	return out.Bytes()
}

// unpack lays an archive out as a state folder.
func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	f, err := os.Open(archive)
	must(t, err)
	defer f.Close()
	zip, err := gzip.NewReader(f)
	must(t, err)
	for files := tar.NewReader(zip); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		must(t, err)
		content, err := io.ReadAll(files)
		must(t, err)
		path := filepath.Join(dir, h.Name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, content, 0o600))
	}
}

// keptGolden is a golden store, unpacked, and what is known of it.
type keptGolden struct {
	dir, dump, checkpoint string
	schema                int
}

func keptGoldens(t *testing.T) (list []keptGolden) {
	t.Helper()
	for schema := 1; schema <= store.Schema; schema++ {
		list = append(list, unpackGolden(t, schema))
	}
	return list
}

func unpackGolden(t *testing.T, schema int) keptGolden {
	t.Helper()
	k := keptGolden{dir: t.TempDir(), schema: schema}
	name := fmt.Sprintf("testdata/schema-%d", schema)
	unpack(t, name+".tar.gz", k.dir)
	dump, err := os.ReadFile(name + ".dump")
	must(t, err)
	signed, err := os.ReadFile(name + ".checkpoint")
	must(t, err)
	k.dump, k.checkpoint = string(dump), string(signed)
	return k
}

// equals wants an opened store to hold what the older program left.
func (k keptGolden) equals(t *testing.T, g *goldenStore) {
	t.Helper()
	sameLines(t, "projections", g.dump(), k.dump)
	holds(t, g.ledger, k.checkpoint)
}

// snapshots lists those of a golden store.
func (k keptGolden) snapshots(t *testing.T) []store.Snapshot {
	t.Helper()
	list, err := store.Snapshots(filepath.Join(k.dir, "ledger"))
	must(t, err)
	return list
}

// TestGoldenStores opens the stores that older programs left, with today's.
func TestGoldenStores(t *testing.T) {
	t.Parallel()
	for _, k := range keptGoldens(t) {
		g := openGolden(t, k.dir)
		k.equals(t, g)
		must(t, g.ledger.Rebuild())
		k.equals(t, g)
		g.close(t)
		if kept, want := k.snapshots(t), k.schema < store.Schema; (len(kept) == 1) != want {
			t.Errorf("schema %d: got the snapshots %+v", k.schema, kept)
		}
		g = openGolden(t, k.dir) // it is not upgraded twice
		sum, err := ledger.Summarize(g.store)
		must(t, err)
		if len(sum.Upgrades) > 1 || sum.Records != g.ledger.Size(0) || len(k.snapshots(t)) > 1 {
			t.Errorf("schema %d: got %+v after the second start, and the snapshots %+v", k.schema, sum, k.snapshots(t))
		}
		g.close(t)
	}
}

// TestAnUpgradeIsTakenBack goes on with an upgraded store, puts the old one back,
// and upgrades that.
func TestAnUpgradeIsTakenBack(t *testing.T) {
	t.Parallel()
	k := unpackGolden(t, 1)
	g := openGolden(t, k.dir)
	later, err := g.ledger.Offer(t.Context(), 0, ledger.New{Kind: record.LoggedOutKind, Payload: record.Marshal(record.LoggedOut{Who: "dave"})})
	must(t, err)
	g.close(t)
	before := k.snapshots(t)[0]
	kept, err := store.RollBack(filepath.Join(k.dir, "ledger"), before.Name)
	must(t, err)
	if kept.Schema != store.Schema {
		t.Errorf("got %+v kept, want the store of schema %d", kept, store.Schema)
	}
	g = openGolden(t, k.dir)
	k.equals(t, g)
	if r, err := g.ledger.Record(0, later.Header.Record); err == nil && r.Header.Kind == record.LoggedOutKind {
		t.Error("a record of after the snapshot is still there")
	}
	g.close(t)
	_, err = store.RollBack(filepath.Join(k.dir, "ledger"), kept.Name) // forward again
	must(t, err)
	g = openGolden(t, k.dir)
	defer g.close(t)
	k.equals(t, g)
	if r, err := g.ledger.Record(0, later.Header.Record); err != nil || r.Header.Kind != record.LoggedOutKind {
		t.Errorf("got %+v, %v, want the record of after the upgrade", r, err)
	}
}

// failing is a projector that fails at its n-th record.
type failing struct {
	*state.Projector
	n int
}

var errTorn = errors.New("torn")

func (f *failing) Apply(tx *store.Batch, r ledger.Record) error {
	if f.n--; f.n < 0 {
		return errTorn
	}
	return f.Projector.Apply(tx, r)
}

// TestAnUpgradeThatFailsBeginsAnew fails an upgrade at several of its records;
// the next start makes it good, or the snapshot is put back.
func TestAnUpgradeThatFailsBeginsAnew(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 30, 71} {
		k := unpackGolden(t, 1)
		for range 2 {
			_, err := openGoldenWith(t, k.dir, &failing{state.NewProjector(nil), n})
			if !errors.Is(err, errTorn) || !strings.Contains(engine.AsError(err).Hint, "start again") {
				t.Fatalf("at record %d: got %v", n, err)
			}
		}
		if n == 30 {
			_, err := store.RollBack(filepath.Join(k.dir, "ledger"), k.snapshots(t)[0].Name)
			must(t, err)
		}
		g := openGolden(t, k.dir)
		k.equals(t, g)
		g.close(t)
	}
}

// dying is a projector that kills its process at its n-th record.
type dying struct {
	*state.Projector
	n int
}

func (d *dying) next() {
	if d.n--; d.n < 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

func (d *dying) Apply(tx *store.Batch, r ledger.Record) error {
	d.next()
	return d.Projector.Apply(tx, r)
}

func (d *dying) Decide(tx *store.Batch, r ledger.Record) ([]byte, error) {
	d.next()
	return d.Projector.Decide(tx, r)
}

// upgradeEnv is the state folder that a process upgrades that is killed meanwhile.
const upgradeEnv = "LARKSPUR_UPGRADE_DIR"

// TestKilledInAnUpgrade kills the process with signal 9 while the projections are
// made anew, and while the first record of the new program is written; the next
// start makes it good, and the snapshot can be put back. What is killed before
// that, while the snapshot is made: TestASnapshotIsWholeOrNotThere.
func TestKilledInAnUpgrade(t *testing.T) {
	if dir, at, child := strings.Cut(os.Getenv(upgradeEnv), ":"); child {
		n, err := strconv.Atoi(at)
		must(t, err)
		_, err = openGoldenWith(t, dir, &dying{state.NewProjector(nil), n})
		t.Fatalf("it lived through %s: %v", at, err)
	}
	t.Parallel()
	size := opened(t, unpackGolden(t, 1))
	for _, n := range []uint64{0, size / 2, size - 1, size} {
		k := unpackGolden(t, 1)
		cmd := exec.Command(os.Args[0], "-test.run", "^TestKilledInAnUpgrade$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s:%d", upgradeEnv, k.dir, n))
		said, err := cmd.CombinedOutput()
		if status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGKILL {
			t.Fatalf("record %d: it was not killed: %v\n%s", n, err, said)
		}
		if got := opened(t, k); got < size || len(k.snapshots(t)) != 1 {
			t.Errorf("record %d: got %d records of %d, and the snapshots %+v", n, got, size, k.snapshots(t))
		}
		_, err = store.RollBack(filepath.Join(k.dir, "ledger"), k.snapshots(t)[0].Name)
		must(t, err)
		if got := opened(t, k); got != size {
			t.Errorf("record %d: got %d records after the way back, want the %d of the snapshot", n, got, size)
		}
	}
}

// opened opens a golden store, wants it to hold what it held, and returns how many
// records it had before.
func opened(t *testing.T, k keptGolden) uint64 {
	t.Helper()
	g := openGolden(t, k.dir)
	defer g.close(t)
	k.equals(t, g)
	return g.ledger.Size(0) - 1
}

// sameLines wants every line of want in got, and no others of its classes: a
// class that came later may be there.
func sameLines(t *testing.T, what, got, want string) {
	t.Helper()
	known, classes := map[string]bool{}, map[byte]bool{}
	for line := range strings.Lines(want) {
		known[line], classes[line[1]] = true, true
	}
	for line := range strings.Lines(got) {
		if !known[line] && classes[line[1]] {
			t.Errorf("%s: got %s which was not there", what, line)
		}
		delete(known, line)
	}
	for line := range known {
		t.Errorf("%s: %s is missing", what, line)
	}
}

// holds wants the root that a checkpoint names.
func holds(t *testing.T, l *ledger.Ledger, signed string) {
	t.Helper()
	var size uint64
	var root string
	for line := range strings.Lines(signed) {
		if _, err := fmt.Sscanf(line, "shard 0 %d %s", &size, &root); err == nil {
			break
		}
	}
	got, err := l.Root(0, size)
	must(t, err)
	if size == 0 || got.String() != root {
		t.Errorf("got the root %s over %d records, the checkpoint says %s", got, size, root)
	}
}
