package scripts

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Times of a Watcher. Editors write a file in several steps, so it waits until
// nothing has happened for a moment, but never long.
const (
	settleQuiet = 50 * time.Millisecond
	settleMost  = 250 * time.Millisecond
	pollEvery   = 2 * time.Second
)

// Watcher keeps what runs equal to the workspace's files. A saved file is live
// at once, the whole workspace or none of it; files with errors are published as
// problems of what runs on.
type Watcher struct {
	Loader *Loader
	// Publish is given what runs from now on, and what runs still, with the
	// problems of newer files. It is called by Run alone.
	Publish func(*Live)

	notify func() (notifier, error) // nil: fsnotify; tests pass others
	last   *input
	live   *Live
	git    []string // files that name the commit
}

// notifier tells of changes in folders; *fsnotify.Watcher in all but tests.
type notifier interface {
	add(dir string) error
	remove(dir string)
	watched() []string
	events() <-chan fsnotify.Event
	errors() <-chan error
	close()
}

// Run publishes what the workspace holds, then every change, until ctx ends.
// Where the system cannot tell of changes, or loses some, it looks by itself
// every two seconds. An error of the workspace or the worker is logged and tried
// again.
func (w *Watcher) Run(ctx context.Context) error {
	dir, err := filepath.Abs(w.Loader.Dir)
	if err != nil {
		return err
	}
	w.Loader.Dir = dir
	n := w.open()
	defer func() { closeNotifier(n) }()
	for {
		again := false
		if n, err = w.look(ctx, n); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			slog.Error("workspace not read; trying again", "dir", dir, "error", err)
			again = true
		}
		if err := w.wait(ctx, n, again || n == nil); err != nil {
			return err
		}
	}
}

// open begins to watch; nil means that Run must look by itself.
func (w *Watcher) open() notifier {
	start := w.notify
	if start == nil {
		start = startFsnotify
	}
	n, err := start()
	if err != nil {
		slog.Warn("changes of files are noticed only every two seconds", "error", err)
		return nil
	}
	return n
}

// look reads the workspace and publishes what is new. Folders are watched before
// they are read for the last time, so that no change falls between.
func (w *Watcher) look(ctx context.Context, n notifier) (notifier, error) {
	in, err := w.Loader.read()
	for err == nil && n != nil {
		var more bool
		if n, more = w.follow(n, in); !more {
			break
		}
		in, err = w.Loader.read()
	}
	if err != nil {
		return n, err
	}
	if in.same(w.last) {
		return n, nil
	}
	live, err := w.Loader.make(ctx, in)
	if err != nil {
		return n, err
	}
	w.last = in
	w.publish(live)
	return n, nil
}

// publish takes a good workspace, or shows the problems of a bad one.
func (w *Watcher) publish(live *Live) {
	switch {
	case live.OK():
		if w.live != nil && w.live.Snapshot.Hash == live.Snapshot.Hash {
			live.Snapshot.Since = w.live.Snapshot.Since
		}
		w.live = live
	case w.live == nil:
		w.live = empty(live.Snapshot.Since, live.Snapshot.Problems)
	default:
		w.live = w.live.with(live.Snapshot.Problems)
	}
	w.Publish(w.live)
}

// follow watches the folders of an input and no others; more is true when one is
// new. It gives the notifier up when the system has no room for more.
func (w *Watcher) follow(n notifier, in *input) (_ notifier, more bool) {
	_, w.git = head(w.Loader.Dir)
	want := map[string]bool{w.Loader.Dir: true}
	for _, dir := range in.dirs {
		want[dir] = true
	}
	for _, file := range w.git {
		want[filepath.Dir(file)] = true
	}
	for _, dir := range n.watched() {
		if !want[dir] {
			n.remove(dir)
		}
		delete(want, dir)
	}
	for _, dir := range slices.Sorted(maps.Keys(want)) {
		err := n.add(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist): // it went, or git has no such folder yet
		case err != nil:
			slog.Warn("changes of files are noticed only every two seconds", "dir", dir, "error", err)
			n.close()
			return nil, false
		default:
			more = true
		}
	}
	return n, more
}

// wait returns when files may have changed. With poll it returns in any case
// when it is time to look.
func (w *Watcher) wait(ctx context.Context, n notifier, poll bool) error {
	var due <-chan time.Time
	if poll {
		timer := time.NewTimer(pollEvery)
		defer timer.Stop()
		due = timer.C
	}
	if n == nil {
		n = silence{}
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-due:
			return nil
		case e := <-n.events():
			if w.concerns(e) {
				return w.settle(ctx, n)
			}
		case err := <-n.errors():
			slog.Warn("changes of files were lost; looking at all", "error", err)
			return w.settle(ctx, n)
		}
	}
}

// settle waits until the files are left alone.
func (w *Watcher) settle(ctx context.Context, n notifier) error {
	most := time.NewTimer(settleMost)
	defer most.Stop()
	quiet := time.NewTimer(settleQuiet)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-most.C:
			return nil
		case <-quiet.C:
			return nil
		case e := <-n.events():
			if w.concerns(e) {
				quiet.Reset(settleQuiet)
			}
		case <-n.errors():
		}
	}
}

// rootNames are what counts in the workspace's own folder.
var rootNames = []string{"larkspur.yaml", "box.yaml", "scripts", "rules", "lists", ".git"}

// concerns tells whether an event is about something that we read.
func (w *Watcher) concerns(e fsnotify.Event) bool {
	if e.Op == fsnotify.Chmod {
		return false
	}
	dir, base := filepath.Split(e.Name)
	dir = filepath.Clean(dir)
	if slices.Contains(w.git, e.Name) {
		return true
	}
	if dir == w.Loader.Dir {
		return slices.Contains(rootNames, base)
	}
	for _, file := range w.git {
		if dir == filepath.Dir(file) {
			return false // another of git's files
		}
	}
	return !strings.HasPrefix(base, ".")
}

// system is fsnotify as a notifier.
type system struct{ *fsnotify.Watcher }

func startFsnotify() (notifier, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	return system{w}, nil
}

func (s system) add(dir string) error          { return s.Add(dir) }
func (s system) remove(dir string)             { _ = s.Remove(dir) } // it may have gone by itself
func (s system) watched() []string             { return s.WatchList() }
func (s system) events() <-chan fsnotify.Event { return s.Events }
func (s system) errors() <-chan error          { return s.Errors }
func (s system) close()                        { _ = s.Close() }

// silence is a notifier that tells nothing.
type silence struct{ notifier }

func (silence) events() <-chan fsnotify.Event { return nil }
func (silence) errors() <-chan error          { return nil }

func closeNotifier(n notifier) {
	if n != nil {
		n.close()
	}
}
