package fault

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait: what is waited for comes in a blink, or never.
const patience = 60 * time.Second

// world is one ledger, the processes that die on it one after the other, and the
// peer that outlives them.
type world struct {
	t     *testing.T
	name  string
	plan  plan // what all children have in common
	rng   *rand.Rand
	peer  *peer
	tally *tally
	kit   kit
	round int

	events []*event // that were delivered, or are to be
	jobs   int
	acts   int  // restarts and undos that were asked for
	struck bool // a worker was killed in this life
	doubts bool // there are doubts, or will be

	mu sync.Mutex // guards what follows: what children told
	// flying are effects of class once between their start and their result: keys
	// by RUN STEP. inflight counts how often each key was at a kill.
	flying   map[string]string
	inflight map[string]int
}

// kit are the executables.
type kit struct{ child, worker string }

// event is one that a machine sends: until it is taken for certain, it is sent
// again, as the same.
type event struct {
	hook, n, again, macs string
	taken                bool
}

// life is one process, as its parent sees it.
type life struct {
	w       *world
	plan    plan
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	stderr  bytes.Buffer
	opened  chan struct{} // closed when it is open
	dead    chan struct{} // closed when all was read that it said
	stopped bool          // it was told to stop
	err     error         // what Wait said

	mu      sync.Mutex // guards what follows
	last    int
	replies map[int]chan line
	killed  string // by whom
}

// start begins a life.
func (w *world) start(p plan, t trap) *life {
	w.t.Helper()
	w.round++
	w.struck = false
	l := &life{w: w, plan: p, opened: make(chan struct{}), dead: make(chan struct{}), replies: map[int]chan line{}}
	text, err := json.Marshal(p)
	must(w.t, err)
	r, out, err := os.Pipe()
	must(w.t, err)
	l.cmd = exec.Command(w.kit.child)
	l.cmd.Env = append(os.Environ(), planEnv+"="+string(text))
	l.cmd.ExtraFiles, l.cmd.Stderr = []*os.File{out}, &l.stderr
	l.stdin, err = l.cmd.StdinPipe()
	must(w.t, err)
	if t.at != "" {
		t.kill = func() { l.kill(t.at) }
	}
	w.peer.begin(t)
	must(w.t, l.cmd.Start())
	out.Close()
	go l.listen(r)
	return l
}

// kill kills the process from outside.
func (l *life) kill(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.killed == "" {
		l.killed = why
		_ = l.cmd.Process.Kill()
	}
}

func (l *life) listen(r *os.File) {
	defer r.Close()
	lines := bufio.NewReaderSize(r, 1<<20)
	for {
		text, err := lines.ReadBytes('\n')
		if err != nil {
			break // the end; what follows the last newline was cut
		}
		var said line
		if json.Unmarshal(text, &said) == nil {
			l.heard(said)
		}
	}
	l.err = l.cmd.Wait()
	l.w.peer.rest()
	close(l.dead)
}

func (l *life) heard(said line) {
	w := l.w
	switch said.Say {
	case "opened":
		close(l.opened)
	case "starting":
		w.mu.Lock()
		w.flying[said.Step] = said.Key
		w.mu.Unlock()
	case "ended":
		w.mu.Lock()
		delete(w.flying, said.Step)
		w.mu.Unlock()
	case "die":
		l.mu.Lock()
		l.killed = said.Kind
		l.mu.Unlock()
	case "did":
		l.mu.Lock()
		c := l.replies[said.ID]
		delete(l.replies, said.ID)
		l.mu.Unlock()
		c <- said
	}
}

// ask has the child do something, and returns what came of it; alive is false when
// it died before it said so.
func (l *life) ask(c command, into any) (said line, alive bool) {
	reply := make(chan line, 1)
	l.mu.Lock()
	l.last++
	c.ID = l.last
	l.replies[c.ID] = reply
	l.mu.Unlock()
	text, err := json.Marshal(c)
	must(l.w.t, err)
	if _, err := l.stdin.Write(append(text, '\n')); err != nil {
		<-l.dead
		return line{}, false
	}
	select {
	case said = <-reply:
	case <-l.dead:
		return line{}, false
	case <-time.After(patience):
		l.w.t.Fatalf("%s, round %d: %+v is not answered\n%s", l.w.name, l.w.round, c, &l.stderr)
	}
	if into != nil && said.Error == "" {
		must(l.w.t, json.Unmarshal(said.Reply, into))
	}
	return said, true
}

// over waits for the death of a process, and counts it.
func (l *life) over() {
	w := l.w
	w.t.Helper()
	select {
	case <-l.dead:
	case <-time.After(patience):
		w.t.Fatalf("%s, round %d: the process does not end\n%s", w.name, w.round, &l.stderr)
	}
	status, _ := l.cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case status.Signaled() && status.Signal() == syscall.SIGKILL && l.killed != "":
		w.tally.killed(l.plan, l.killed)
		w.lost()
	case l.err == nil && l.stopped:
		w.tally.add("lives that ended in good order", 1)
	default:
		w.t.Fatalf("%s, round %d: the process gave up: %v\n%s", w.name, w.round, l.err, &l.stderr)
	}
}

// lost counts the effects that were in flight at a kill.
func (w *world) lost() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, key := range w.flying {
		w.inflight[key]++
	}
	w.tally.add("effects of class once in flight at a kill", len(w.flying))
	w.tally.most("most in flight at one kill", len(w.flying))
	w.doubts = w.doubts || len(w.flying) > 0
	clear(w.flying)
}

// stop ends a life in good order.
func (l *life) stop() {
	l.stopped = true
	_, err := fmt.Fprintln(l.stdin, `{"Do": "stop"}`)
	must(l.w.t, err)
	l.over()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
