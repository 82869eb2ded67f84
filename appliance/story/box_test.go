package story

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"larkspur/appliance"
	"larkspur/engine"
	"larkspur/engine/capture"
	"larkspur/engine/sandbox/sandboxtest"
	"larkspur/engine/state"
)

// box is an appliance that runs within the test, in a house of its own and on a
// clock that the test advances.
type box struct {
	*house
	t     *testing.T
	ctx   context.Context
	clock *clock
	bell  *bell // rings at each commit
	play  func()
}

// serve runs a box until the test ends. edit is as in newHouse.
func serve(t *testing.T, edit ...string) *box {
	t.Helper()
	return serveIn(t, func(string) {}, edit...)
}

// serveIn is serve with something done to the workspace's folder before.
func serveIn(t *testing.T, prepare func(dir string), edit ...string) *box {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	b := &box{t: t, ctx: limited(t), clock: newClock(), bell: newBell()}
	b.house = newHouse(t, l.Addr().String(), b.clock, edit...)
	prepare(b.dir)
	b.put(t, "secrets/alarm", hookToken+"\n")
	b.put(t, "scripts/alarm.star", alarm)
	path := filepath.Join(t.TempDir(), "tape.pcap")
	must(t, os.WriteFile(path, tape(t), 0o600))
	played := make(chan struct{})
	b.play = func() { close(played) }
	a, err := appliance.Open(appliance.Config{
		Dir: b.dir, Listener: l, Worker: sandboxtest.Binary(t), Clock: b.clock,
		Sources: map[string]capture.Source{"tape": &Tape{Path: path, Played: played}},
		Watch:   func([]state.Notice) { b.bell.ring() },
	})
	must(t, err)
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	background(t, a.Run)
	b.eventually("the page", func() bool {
		status, _, err := visit(b.ctx, "GET", b.url+"/readyz", nil)
		return err == nil && status == http.StatusOK
	})
	return b
}

// alarm is a rule for what calls.
const alarm = `def seen(i):
    i.close("seen")

rule(name = "alarm", when = on.webhook("alarm"), do = seen, title = "Alarm {n}")
`

// until waits for the story to be told so far.
func (b *box) until(what string, done func(*incident) bool) *incident {
	b.t.Helper()
	var i *incident
	err := b.bell.until(b.ctx, func() (ok bool, err error) {
		i, err = b.client().story(b.ctx)
		return i != nil && done(i), err
	})
	if err == nil {
		i, err = b.client().story(b.ctx) // its parts were not read in one moment
	}
	if err != nil {
		b.t.Fatalf("no %s: %v: %+v", what, err, i)
	}
	return i
}

func (b *box) eventually(what string, yes func() bool) {
	b.t.Helper()
	if err := eventually(b.ctx, yes); err != nil {
		b.t.Fatalf("no %s: %v", what, err)
	}
}

// run returns the incident's run of a purpose.
func (i *incident) run(purpose string) engine.Run {
	for _, r := range i.Runs {
		if r.Purpose == purpose {
			return r
		}
	}
	return engine.Run{}
}

// wantText wants every part in a text.
func wantText(t *testing.T, where, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s: it does not say %q:\n%s", where, part, text)
		}
	}
}
