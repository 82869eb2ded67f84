package store

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"larkspur/engine"
)

var errUnplugged = errors.New("unplugged")

// oldStore makes a store of schema 1 with one value, as a crash left it.
func oldStore(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ledger")
	for _, value := range []string{"table", "log"} { // the second stays in the log
		s, err := OpenLedger(dir)
		must(t, err)
		view := s.View()
		b := NewBatch(view)
		b.Set([]byte("k-"+value), []byte(value))
		must(t, s.Commit(b))
		view.Close()
		if value == "table" {
			must(t, s.Close())
			continue
		}
		copied := filepath.Join(t.TempDir(), "ledger")
		must(t, os.MkdirAll(copied, 0o700))
		files, err := os.ReadDir(dir)
		must(t, err)
		for _, f := range files {
			if belongs(f) {
				must(t, copyFile(filepath.Join(dir, f.Name()), filepath.Join(copied, f.Name())))
			}
		}
		must(t, s.Close())
		dir = copied
	}
	must(t, os.Remove(filepath.Join(dir, schemaName)))
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// holds wants the values of oldStore in a store.
func holds(t *testing.T, dir string) {
	t.Helper()
	s, err := OpenLedger(dir)
	must(t, err)
	defer s.Close()
	view := s.View()
	defer view.Close()
	for _, value := range []string{"table", "log"} {
		if got, _ := view.Get([]byte("k-" + value)); string(got) != value {
			t.Errorf("got %q, want %q", got, value)
		}
	}
}

// unplug runs do, which ends at its n-th step; it reports whether it ended there.
func unplug(t *testing.T, dir string, n int, do func(*upgrade) error) bool {
	t.Helper()
	u := upgradeNow(dir)
	var at string
	u.reached = func(step string) error {
		if n--; n < 0 {
			at = step
			return errUnplugged
		}
		return nil
	}
	err := do(u)
	if err == nil {
		return false
	}
	if !errors.Is(err, errUnplugged) {
		t.Fatalf("before %s: got %v", at, err)
	}
	return true
}

// Environment of a process that is killed while it upgrades.
const (
	upgradeEnv = "LARKSPUR_UPGRADE_DIR"
	stepEnv    = "LARKSPUR_UPGRADE_STEP"
)

// killed starts a process that upgrades, and kills itself with signal 9 at its n-th
// step; it reports whether it came to that.
func killed(t *testing.T, dir string, n int) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), upgradeEnv+"="+dir, stepEnv+"="+strconv.Itoa(n))
	said, err := cmd.CombinedOutput()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		t.Fatalf("step %d: %v\n%s", n, err, said)
	}
	return false
}

func dieUpgrading(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv(stepEnv))
	must(t, err)
	u := upgradeNow(os.Getenv(upgradeEnv))
	u.reached = func(string) error {
		if n--; n < 0 {
			must(t, syscall.Kill(os.Getpid(), syscall.SIGKILL))
			select {}
		}
		return nil
	}
	must(t, u.run())
}

// copyOf copies a store that nobody has open.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "ledger")
	must(t, os.CopyFS(copied, os.DirFS(dir)))
	return copied
}

// TestASnapshotIsWholeOrNotThere kills the process at each step of an upgrade; the
// next one upgrades.
func TestASnapshotIsWholeOrNotThere(t *testing.T) {
	if os.Getenv(upgradeEnv) != "" {
		dieUpgrading(t)
		return
	}
	// Not in parallel: a process that is being started holds the locks of folders
	// that were open when it was forked.
	old := oldStore(t)
	for n := 0; ; n++ {
		dir := copyOf(t, old)
		ended := killed(t, dir, n)
		list, err := Snapshots(dir)
		must(t, err)
		holds(t, dir)
		after, err := Snapshots(dir)
		must(t, err)
		if len(after) == 0 || len(after) < len(list) || after[0].Schema != 1 || after[0].Why != fmt.Sprintf("before the upgrade to schema %d", Schema) {
			t.Fatalf("step %d: got the snapshots %+v, then %+v", n, list, after)
		}
		if parts, _ := filepath.Glob(snapshotsDir(dir) + "/*.part"); len(parts) > 0 {
			t.Errorf("step %d: left %v", n, parts)
		}
		for _, s := range after {
			holdsSnapshot(t, dir, s)
		}
		if !ended {
			return
		}
	}
}

// holdsSnapshot opens a copy of a snapshot.
func holdsSnapshot(t *testing.T, dir string, s Snapshot) {
	t.Helper()
	copied := copyOf(t, filepath.Join(snapshotsDir(dir), s.Name))
	if got, err := schemaOf(copied); err != nil || got != s.Schema {
		t.Errorf("%s: got schema %d, %v", s.Name, got, err)
	}
	holds(t, copied)
}

func TestRollingBackIsTheOneOrTheOther(t *testing.T) {
	t.Parallel()
	old := oldStore(t)
	for n := 0; ; n++ {
		dir := copyOf(t, old)
		holds(t, dir)
		put(t, dir, "k-log", "newer")
		list, err := Snapshots(dir)
		must(t, err)
		name := list[0].Name
		ended := unplug(t, dir, n, func(u *upgrade) error {
			u.now = u.now.Add(time.Hour)
			_, err := rollBack(u, name)
			return err
		})
		schema, err := schemaOf(dir)
		must(t, err)
		left, err := Snapshots(dir)
		must(t, err)
		if len(left) != 1 || left[0].Schema == schema {
			t.Fatalf("step %d: schema %d is in force, with the snapshots %+v", n, schema, left)
		}
		if schema == 1 {
			holds(t, dir)
		}
		if !ended {
			if schema != 1 || !strings.HasSuffix(left[0].Name, "-rolled-back") || left[0].Why != "rolled back to "+name {
				t.Fatalf("schema %d is in force, with the snapshots %+v", schema, left)
			}
			return
		}
	}
}

func put(t *testing.T, dir, key, value string) {
	t.Helper()
	s, err := OpenLedger(dir)
	must(t, err)
	view := s.View()
	b := NewBatch(view)
	b.Set([]byte(key), []byte(value))
	must(t, s.Commit(b))
	view.Close()
	must(t, s.Close())
}

func TestANewerStoreIsRefusedAndNotTouched(t *testing.T) {
	t.Parallel()
	dir := oldStore(t)
	must(t, os.WriteFile(filepath.Join(dir, schemaName), []byte("99\n"), 0o600))
	before := listing(t, dir)
	for _, open := range []func(string) (*Store, error){OpenLedger, OpenScratch} {
		_, err := open(dir)
		if engine.KindOf(err) != engine.Invalid || !strings.Contains(err.Error(), "it has schema 99, and this program knows schemas up to") ||
			!strings.Contains(engine.AsError(err).Hint, "larkspur rollback") {
			t.Errorf("got %v", err)
		}
	}
	if after := listing(t, dir); after != before {
		t.Errorf("the folder was changed:\n%s\nwant\n%s", after, before)
	}
}

func listing(t *testing.T, dir string) (text string) {
	t.Helper()
	files, err := os.ReadDir(filepath.Dir(dir))
	must(t, err)
	more, err := os.ReadDir(dir)
	must(t, err)
	for _, f := range append(files, more...) {
		fi, err := f.Info()
		must(t, err)
		if !f.IsDir() {
			text += fmt.Sprintln(fi.Name(), fi.Size(), fi.ModTime())
		}
	}
	return text
}

func TestSnapshotsAreRemoved(t *testing.T) {
	t.Parallel()
	dir := oldStore(t)
	holds(t, dir)
	list, err := Snapshots(dir)
	must(t, err)
	if len(list) != 1 || list[0].Bytes == 0 {
		t.Fatalf("got %+v, want one with a size", list)
	}
	if err := RemoveSnapshot(dir, "none"); engine.KindOf(err) != engine.NotFound || !strings.Contains(engine.AsError(err).Hint, list[0].Name) {
		t.Errorf("one that is not there: got %v", err)
	}
	if _, err := RollBack(dir, "../ledger"); engine.KindOf(err) != engine.NotFound {
		t.Errorf("a path: got %v", err)
	}
	must(t, RemoveSnapshot(dir, list[0].Name))
	if list, err = Snapshots(dir); err != nil || len(list) != 0 {
		t.Errorf("got %v, %v, want none", list, err)
	}
}

func TestAnOpenStoreIsNotRolledBack(t *testing.T) {
	t.Parallel()
	dir := oldStore(t)
	s, err := OpenLedger(dir)
	must(t, err)
	defer s.Close()
	list, err := Snapshots(dir)
	must(t, err)
	if _, err := RollBack(dir, list[0].Name); engine.KindOf(err) != engine.Unavailable || !strings.Contains(engine.AsError(err).Hint, "stop it") {
		t.Errorf("got %v, want that it is open", err)
	}
}

// TestASnapshotOutlivesTheTables deletes the tables that a snapshot has links to,
// and opens it.
func TestASnapshotOutlivesTheTables(t *testing.T) {
	t.Parallel()
	dir := oldStore(t)
	s, err := OpenLedger(dir) // keeps a snapshot
	must(t, err)
	must(t, s.drop([][]byte{[]byte("k-")}))
	must(t, s.Close())
	list, err := Snapshots(dir)
	must(t, err)
	_, err = RollBack(dir, list[0].Name)
	must(t, err)
	holds(t, dir)
}
