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
	"path/filepath"
	"strings"
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

// newestSchema is the schema of the golden store that -update makes.
const newestSchema = 1

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
	d, err := b.runner.UndoChange(t.Context(), b.change(over, engine.ChangeInForce).ID, "dave", "homework is done")
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
		path := filepath.Join("testdata", fmt.Sprintf("schema-%d", newestSchema))
		must(t, os.WriteFile(path+".checkpoint", signed, 0o644))
		must(t, os.WriteFile(path+".dump", []byte(dump), 0o644))
		must(t, os.WriteFile(path+".tar.gz", pack(t, b.dir), 0o644))
	}
}

// answerNext answers the question of a run, and waits until it sleeps.
func (b *box) answerNext(run string) {
	b.t.Helper()
	b.bell.until(b.t, "the question is there", func() bool { return b.run(run).Status == engine.RunWaiting })
	b.answer(b.question().ID, engine.Answer{Choice: "Block", By: "dave", How: "page", Fields: engine.MustEncode(map[string]engine.Value{})})
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
	s, err := store.OpenLedger(filepath.Join(dir, "ledger"))
	must(t, err)
	blobs, err := store.OpenBlobs(filepath.Join(dir, "blobs"))
	must(t, err)
	signer, err := ledger.LoadSigner(filepath.Join(dir, "key"), "larkspur")
	must(t, err)
	at := newClock(newBell())
	at.set(time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC))
	l, err := ledger.Open(ledger.Config{Store: s, Projector: state.NewProjector(nil), Clock: at, Node: "golden", Engine: "test", Signer: signer})
	must(t, err)
	return &goldenStore{s, l, state.Open(s, blobs, l)}
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

// TestGoldenStores opens the stores that older programs left, with today's.
func TestGoldenStores(t *testing.T) {
	archives, err := filepath.Glob("testdata/schema-*.tar.gz")
	must(t, err)
	if len(archives) != newestSchema {
		t.Fatalf("got %d golden stores, want one of each schema", len(archives))
	}
	for _, archive := range archives {
		t.Run(filepath.Base(archive), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			unpack(t, archive, dir)
			name := strings.TrimSuffix(archive, ".tar.gz")
			want, err := os.ReadFile(name + ".dump")
			must(t, err)
			signed, err := os.ReadFile(name + ".checkpoint")
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, "checkpoint"), signed, 0o600))
			g := openGolden(t, dir)
			defer g.close(t)
			sameLines(t, "projections", g.dump(), string(want))
			must(t, g.ledger.Rebuild())
			sameLines(t, "projections after a rebuild", g.dump(), string(want))
			holds(t, g.ledger, string(signed))
		})
	}
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
