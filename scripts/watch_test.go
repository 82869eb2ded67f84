package scripts

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"

	"larkspur/engine"
	"larkspur/engine/sandbox"
)

// watching runs a Watcher on dir; the channel has what it publishes.
func watching(t *testing.T, w *Watcher) <-chan *Live {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	published, ended := make(chan *Live, 100), make(chan error)
	w.Publish = func(l *Live) { published <- l }
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: got %v, want context.Canceled", err)
		}
	})
	return published
}

// until waits for something published that is as wanted.
func until(t *testing.T, published <-chan *Live, what string, wanted func(*Live) bool) *Live {
	t.Helper()
	late := time.After(10 * time.Second)
	for {
		select {
		case l := <-published:
			if wanted(l) {
				return l
			}
		case <-late:
			t.Fatalf("%s: nothing published in 10 s", what)
		}
	}
}

func wants(name string) func(*Live) bool {
	return func(l *Live) bool { return l.OK() && l.Rules.WantsDNS(query(name)) }
}

// replace writes a file as editors do: beside, then renamed over.
func replace(t *testing.T, dir, name, text string) {
	t.Helper()
	write(t, dir, map[string]string{name + "~": text})
	if err := os.Rename(filepath.Join(dir, name+"~"), filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"scripts/a.star": "rule a one.example."})
	live := watching(t, &Watcher{Loader: newLoader(dir, &reader{})})
	first := until(t, live, "start", wants("one.example"))

	write(t, dir, map[string]string{"scripts/a.star": "rule a two.example."})
	until(t, live, "written over", wants("two.example"))

	replace(t, dir, "scripts/a.star", "rule a three.example.")
	good := until(t, live, "renamed over", wants("three.example"))

	write(t, dir, map[string]string{"scripts/a.star": "rule a four.example.\nbroken"})
	bad := until(t, live, "broken", func(l *Live) bool { return !l.OK() })
	if bad.Snapshot.Hash != good.Snapshot.Hash || bad.Rules != good.Rules || bad.Snapshot.Hash == first.Snapshot.Hash {
		t.Error("a broken file changed what runs")
	}
	if len(bad.Snapshot.Problems) != 1 || bad.Snapshot.Problems[0].Line != 2 {
		t.Errorf("got %v, want the problem of line 2", messages(bad.Snapshot.Problems))
	}

	write(t, dir, map[string]string{"scripts/a.star": "rule a three.example."})
	mended := until(t, live, "mended", wants("three.example"))
	if mended.Snapshot.Hash != good.Snapshot.Hash {
		t.Errorf("got %s, want the hash of the same files, %s", mended.Snapshot.Hash, good.Snapshot.Hash)
	}

	write(t, dir, map[string]string{"scripts/new/deep/b.star": "rule b five.example."})
	until(t, live, "new folders", wants("five.example"))
	write(t, dir, map[string]string{"scripts/new/deep/b.star": "rule b six.example."})
	until(t, live, "in a new folder", wants("six.example"))

	write(t, dir, map[string]string{"lists/watch.txt": "bad.example\n", "scripts/c.star": "rule c watch"})
	until(t, live, "a list", wants("bad.example"))
	replace(t, dir, "lists/watch.txt", "worse.example\n")
	until(t, live, "a changed list", wants("worse.example"))

	if err := os.Rename(filepath.Join(dir, "scripts/new"), filepath.Join(dir, "scripts/old")); err != nil {
		t.Fatal(err)
	}
	until(t, live, "renamed folder", func(l *Live) bool { return l.Snapshot.Bundle.Files["scripts/old/deep/b.star"] != "" })
	write(t, dir, map[string]string{"scripts/old/deep/b.star": "rule b seven.example."})
	until(t, live, "in a renamed folder", wants("seven.example"))

	if err := os.RemoveAll(filepath.Join(dir, "scripts")); err != nil {
		t.Fatal(err)
	}
	until(t, live, "removed", func(l *Live) bool { return len(l.Snapshot.Bundle.Files) == 1 })
	write(t, dir, map[string]string{"scripts/a.star": "rule a eight.example."})
	until(t, live, "there again", wants("eight.example"))
}

func TestWatchCommit(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	write(t, dir, map[string]string{"scripts/a.star": ""})
	live := watching(t, &Watcher{Loader: newLoader(dir, &reader{})})
	until(t, live, "start", func(l *Live) bool { return l.Snapshot.Commit == "" })
	git(t, dir, "add", ".")
	git(t, dir, "commit", "-qm", "one")
	one := git(t, dir, "rev-parse", "HEAD")
	until(t, live, "first commit", func(l *Live) bool { return l.Snapshot.Commit == one })
	git(t, dir, "commit", "-qm", "two", "--allow-empty")
	two := git(t, dir, "rev-parse", "HEAD")
	until(t, live, "second commit", func(l *Live) bool { return l.Snapshot.Commit == two })
}

func TestWatchLinkedFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"shared/a.star": "rule a one.example."})
	link(t, "../shared/a.star", filepath.Join(dir, "scripts/a.star"))
	live := watching(t, &Watcher{Loader: newLoader(dir, &reader{})})
	until(t, live, "start", wants("one.example"))
	replace(t, dir, "shared/a.star", "rule a two.example.")
	until(t, live, "the link's target", wants("two.example"))
}

func TestWatchBrokenFromTheStart(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"scripts/a.star": "rule a one.example.\nbroken"})
	live := watching(t, &Watcher{Loader: newLoader(dir, &reader{})})
	l := until(t, live, "start", func(l *Live) bool { return !l.OK() })
	if l.Snapshot.Hash != "" || l.Rules.WantsDNS(query("one.example")) {
		t.Error("a workspace that was never good runs")
	}
	write(t, dir, map[string]string{"scripts/a.star": "rule a one.example."})
	until(t, live, "mended", wants("one.example"))
}

func TestWatchSettings(t *testing.T) {
	dir := t.TempDir()
	l := newLoader(dir, &reader{})
	l.Settings = func() (Settings, []engine.Problem) {
		text, _ := os.ReadFile(filepath.Join(dir, "larkspur.yaml"))
		if string(text) == "broken" {
			return Settings{}, []engine.Problem{{File: "larkspur.yaml", Severity: "error", Message: "broken"}}
		}
		return Settings{Timezone: string(text)}, nil
	}
	w := &reader{}
	l.Worker = w
	live := watching(t, &Watcher{Loader: l})
	until(t, live, "start", (*Live).OK)
	write(t, dir, map[string]string{"larkspur.yaml": "broken"})
	until(t, live, "broken", func(l *Live) bool { return !l.OK() })
	replace(t, dir, "larkspur.yaml", "Europe/London")
	until(t, live, "mended", (*Live).OK)
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := w.loads[len(w.loads)-1].Timezone; got != "Europe/London" {
		t.Errorf("got zone %q, want Europe/London", got)
	}
}

// Where the system does not tell of changes, or has no room to, time does.
func TestWatchWithoutNotification(t *testing.T) {
	for name, notify := range map[string]func() (notifier, error){
		"no inotify": func() (notifier, error) { return nil, errors.New("too many open files") },
		"no room":    func() (notifier, error) { return full{}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				live := watching(t, &Watcher{Loader: newLoader(dir, &reader{}), notify: notify})
				until(t, live, "start", (*Live).OK)
				write(t, dir, map[string]string{"scripts/a.star": "rule a one.example."})
				began := time.Now()
				until(t, live, "polled", wants("one.example"))
				if d := time.Since(began); d > pollEvery {
					t.Errorf("noticed after %v, want at most %v", d, pollEvery)
				}
			})
		})
	}
}

// full is a notifier that can watch nothing.
type full struct{ silence }

func (full) add(string) error  { return errors.New("no space left on device") }
func (full) watched() []string { return nil }
func (full) close()            {}

// lossy is a notifier that tells of nothing but its losses.
type lossy struct {
	silence
	lost chan error
	dirs []string
}

func (l *lossy) add(dir string) error { l.dirs = append(l.dirs, dir); return nil }
func (l *lossy) watched() []string    { return l.dirs }
func (l *lossy) errors() <-chan error { return l.lost }
func (l *lossy) close()               {}

func TestWatchLostEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		n := &lossy{lost: make(chan error)}
		live := watching(t, &Watcher{Loader: newLoader(dir, &reader{}), notify: func() (notifier, error) { return n, nil }})
		until(t, live, "start", (*Live).OK)
		write(t, dir, map[string]string{"scripts/a.star": "rule a one.example."})
		n.lost <- fsnotify.ErrEventOverflow
		until(t, live, "overflow", wants("one.example"))
	})
}

// A worker that is away is waited for.
func TestWatchRetriesTheWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &reader{deaths: []error{engine.Errorf(engine.Unavailable, "no worker"), sandbox.ErrDied}}
		live := watching(t, &Watcher{Loader: newLoader(t.TempDir(), w), notify: func() (notifier, error) { return nil, errors.New("none") }})
		began := time.Now()
		until(t, live, "start", (*Live).OK)
		if d := time.Since(began); d != 2*pollEvery {
			t.Errorf("published after %v, want %v", d, 2*pollEvery)
		}
	})
}

// Nothing is loaded or published when nothing changed.
func TestWatchIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &reader{}
		live := watching(t, &Watcher{Loader: newLoader(t.TempDir(), w), notify: func() (notifier, error) { return nil, errors.New("none") }})
		until(t, live, "start", (*Live).OK)
		time.Sleep(time.Minute) // of the bubble: none really
		if len(live) != 0 || len(w.loads) != 1 {
			t.Errorf("got %d published and %d loads, want none and 1", len(live), len(w.loads))
		}
	})
}

func TestConcerns(t *testing.T) {
	w := &Watcher{Loader: &Loader{Dir: "/w"}, git: []string{"/w/.git/HEAD", "/w/.git/packed-refs", "/w/.git/refs/heads/main"}}
	for _, c := range []struct {
		name string
		op   fsnotify.Op
		want bool
	}{
		{"/w/larkspur.yaml", fsnotify.Write, true}, {"/w/README.md", fsnotify.Write, false}, {"/w/state", fsnotify.Create, false},
		{"/w/scripts", fsnotify.Create, true}, {"/w/scripts/a.star", fsnotify.Write, true}, {"/w/scripts/a.star", fsnotify.Chmod, false},
		{"/w/scripts/.#a.star", fsnotify.Create, false}, {"/w/.git/HEAD", fsnotify.Create, true}, {"/w/.git/index.lock", fsnotify.Create, false},
		{"/w/.git/refs/heads/main", fsnotify.Create, true}, {"/w/.git/refs/heads/main.lock", fsnotify.Create, false},
		{"/elsewhere/shared.star", fsnotify.Write, true},
	} {
		if got := w.concerns(fsnotify.Event{Name: c.name, Op: c.op}); got != c.want {
			t.Errorf("%s %s: got %v, want %v", c.op, strings.TrimPrefix(c.name, "/w/"), got, c.want)
		}
	}
}
