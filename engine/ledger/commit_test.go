package ledger_test

import (
	"context"
	"encoding/binary"
	"runtime"
	"testing"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// watched is a counter that tells when a record is decided, and lets a test hold
// what was committed.
type watched struct {
	*counter
	decided chan string
	hold    func()
}

func (w *watched) Decide(tx *store.Batch, r ledger.Record) ([]byte, error) {
	if r.Header.Kind != record.EpochOpenedKind {
		w.decided <- string(r.Payload)
	}
	return w.counter.Decide(tx, r)
}

func (w *watched) Committed(rs []ledger.Record) {
	w.counter.Committed(rs)
	w.hold()
}

func watch(t *testing.T) (*watched, *ledger.Ledger, *store.Store) {
	t.Helper()
	s, err := store.OpenScratch(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &watched{counter: &counter{}, decided: make(chan string, 8), hold: func() {}}
	l, err := ledger.Open(ledger.Config{Store: s, Projector: w, Clock: engine.SystemClock{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return w, l, s
}

func count(t *testing.T, s *store.Store) uint64 {
	t.Helper()
	view := s.View()
	defer view.Close()
	b, ok := view.Get(countKey)
	if !ok {
		t.Fatal("nothing was counted")
	}
	return binary.BigEndian.Uint64(b)
}

func noted(text string) ledger.New {
	return ledger.New{Kind: record.LoggedOutKind, Payload: []byte(text)}
}

// While several append, what comes while a group is on its way to the disk is
// decided meanwhile, and sees what that group wrote.
func TestStagesBesideACommit(t *testing.T) {
	w, l, s := watch(t)
	before := count(t, s)
	reached, release, errs := make(chan struct{}), make(chan struct{}), make(chan error, 4)
	w.hold = func() {
		reached <- struct{}{}
		<-release
	}
	offer := func(text string) {
		_, err := l.Offer(context.Background(), 0, noted(text))
		errs <- err
	}
	go offer(`{"a":1}`)
	<-reached
	go offer(`{"a":2}`)
	go offer(`{"a":3}`)
	for l.Waiting() < 2 {
		runtime.Gosched()
	}
	release <- struct{}{}
	<-reached // the second group, of two
	for range 3 {
		<-w.decided
	}
	go offer(`{"a":4}`)
	if got := <-w.decided; got != `{"a":4}` {
		t.Errorf("got %s decided beside the commit", got)
	}
	release <- struct{}{}
	<-reached
	release <- struct{}{}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := count(t, s); got != before+4 {
		t.Errorf("got %d records counted, want %d", got, before+4)
	}
}

// When a commit fails, what was staged over it is staged again, over what is
// there.
func TestStagesAgainAfterAFailedCommit(t *testing.T) {
	w, l, s := watch(t)
	before, size := count(t, s), l.Size(0)
	fail := l.Held(noted(`{"a":1}`))
	<-w.decided
	offered := make(chan ledger.Record, 1)
	go func() {
		r, err := l.Offer(context.Background(), 0, noted(`{"a":2}`))
		if err != nil {
			t.Error(err)
		}
		offered <- r
	}()
	<-w.decided // over the one that fails
	fail()
	r := <-offered
	if r.Header.Record != size || l.Size(0) != size+1 || count(t, s) != before+1 {
		t.Errorf("got record %d of %d, and %d counted, want %d of %d, and %d", r.Header.Record, l.Size(0), count(t, s), size, size+1, before+1)
	}
	if got, err := l.Record(0, size); err != nil || string(got.Payload) != `{"a":2}` || got.Leaf() != r.Leaf() {
		t.Errorf("got %s, %v, want the second record", got.Payload, err)
	}
}
