package story

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"larkspur/appliance/demo/controller"
	"larkspur/appliance/demo/mailbox"
)

// tale is the story of Netflix, played on a fresh workspace by processes that
// may be killed at any time: whoever is killed has a successor that goes on.
type tale struct {
	*house
	t        *testing.T
	page     *os.File // the listener of the page, the same for all processes
	seen     bool     // the event is recorded
	commits  []string // kinds of the records of each, in order
	last     *process
	killedIn string // kinds of the commit after which a process was killed
}

// newTale makes a workspace in which a block ends after a while.
func newTale(t *testing.T, while string) *tale {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	page, err := l.(*net.TCPListener).File()
	must(t, err)
	t.Cleanup(func() { page.Close() })
	h := newHouse(t, l.Addr().String(), nil, `"block_for": "2m"`, `"block_for": "`+while+`"`)
	must(t, os.WriteFile(filepath.Join(h.dir, "tape.pcap"), tape(t), 0o600))
	return &tale{house: h, t: t, page: page}
}

// begin starts a process; kill says, as flags, after what it kills itself.
func (s *tale) begin(kill ...string) *process {
	s.t.Helper()
	cmd := exec.Command(program(s.t, storybin), append(kill, "-dir", s.dir, "-tape", filepath.Join(s.dir, "tape.pcap"))...)
	cmd.ExtraFiles = []*os.File{s.page}
	s.last = start(s.t, cmd)
	return s.last
}

// end notes what a process had committed, which is gone by now.
func (s *tale) end(p *process) {
	lines := p.said()
	s.commits = append(s.commits, lines...)
	s.seen = s.seen || strings.Contains(strings.Join(lines, " "), "event_seen")
	if p.cmd.ProcessState.ExitCode() != 0 && len(lines) > 0 {
		s.killedIn = lines[len(lines)-1]
	}
}

// play carries the story to its end. kill is of the first process; who follows
// it lives.
func (s *tale) play(kill ...string) {
	s.t.Helper()
	for {
		p := s.begin(kill...)
		err := s.carry(p)
		if err == nil {
			p.stop(s.t)
			s.end(p)
			return
		}
		if kill == nil {
			s.t.Fatalf("the story does not go on: %v", err)
		}
		select {
		case <-p.ended: // it was its death that was noticed
		case <-limited(s.t).Done():
			s.t.Fatalf("the story does not go on: %v", err)
		}
		kill = nil
		s.end(p)
	}
}

// carry takes one process as far as it lives: to the story's end.
func (s *tale) carry(p *process) error {
	if err := p.ready(s.url); err != nil {
		return err
	}
	if !s.seen {
		if err := s.press(p); err != nil {
			return err
		}
	}
	if err := s.answer(p.alive); err != nil {
		return err
	}
	return p.bell.until(p.alive, func() (bool, error) {
		i, err := s.client().story(p.alive)
		return i.over(), err
	})
}

// answer presses Block by the link of the newest mail; that it was pressed
// already is as good.
func (s *tale) answer(ctx context.Context) error {
	mails, err := s.mailbox.Wait(ctx, 1)
	if err != nil {
		return err
	}
	status, page, err := s.client().answer(ctx, mails[len(mails)-1].Text, "Block")
	if err == nil && status != http.StatusOK && status != http.StatusConflict {
		err = fmt.Errorf("answering: %d: %s", status, page)
	}
	return err
}

// sent counts the commands that the controller got.
func (s *tale) sent(name string) (n int) {
	for _, c := range s.controller.Commands() {
		if c.Name == name {
			n++
		}
	}
	return n
}

// judge holds what came of it to what must have.
func (s *tale) judge() *closedBox {
	s.t.Helper()
	if block, unblock := s.sent("block-sta"), s.sent("unblock-sta"); block != 1 || unblock != 1 || s.controller.Blocked(television) {
		s.t.Errorf("the controller was told to block %d times and to unblock %d times, want once each", block, unblock)
	}
	mails := s.mailbox.Mails()
	for _, m := range mails {
		if m.MessageID == "" || m.MessageID != mails[0].MessageID {
			s.t.Errorf("got mails with the Message-IDs %q and %q, want one", mails[0].MessageID, m.MessageID)
		}
	}
	box := reopen(s.t, s.dir)
	box.ended(s.t)
	box.verify(s.t)
	box.rebuild(s.t)
	return box
}

func TestKilledAfterEveryRecord(t *testing.T) {
	whole := newTale(t, "1s")
	whole.play()
	whole.judge()
	if t.Failed() {
		t.FailNow()
	}
	var mu sync.Mutex // guards stopped
	stopped := map[string]bool{}
	kill := func(t *testing.T, name string, flags ...string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTale(t, "1s")
			s.play(flags...)
			s.judge()
			t.Logf("killed after: %s", s.killedIn)
			mu.Lock()
			defer mu.Unlock()
			for _, kind := range strings.Fields(s.killedIn) {
				stopped[kind] = true
			}
		})
	}
	t.Run("commits", func(t *testing.T) {
		for n := 1; n <= len(whole.commits); n++ {
			kill(t, fmt.Sprintf("after %d", n), "-kill", fmt.Sprint(n))
		}
	})
	kinds := strings.Fields(strings.Join(whole.commits, " "))
	// Runs go on side by side, so that commits change places, or are one.
	t.Run("kinds", func(t *testing.T) {
		for _, kind := range slices.Compact(slices.Sorted(slices.Values(kinds))) {
			if !stopped[kind] {
				kill(t, "after "+kind, "-after", kind)
			}
		}
	})
	for _, kind := range kinds {
		if !stopped[kind] {
			t.Errorf("the story writes %s, and no process was killed after one", kind)
		}
	}
}

// The process dies while the controller, or the mail server, has done what it
// was told and has not said so.
func TestKilledWithinAnEffect(t *testing.T) {
	t.Run("block", func(t *testing.T) {
		t.Parallel()
		s := newTale(t, "1s")
		s.controller.Break(controller.Stuck)
		p := s.begin()
		must(t, s.upToAnswer(p))
		_, err := s.controller.Wait(p.alive, 1)
		must(t, err)
		s.kill(p)
		s.controller.Break(controller.Healthy)
		s.play()
		probed(t, s.judge())
	})
	t.Run("unblock", func(t *testing.T) {
		t.Parallel()
		s := newTale(t, "1h")
		p := s.begin()
		must(t, s.upToAnswer(p))
		must(t, p.bell.until(p.alive, func() (bool, error) {
			i, err := s.client().story(p.alive)
			return i != nil && len(i.Changes) == 1, err
		}))
		s.controller.Break(controller.Stuck)
		no, err := s.client().call(p.alive, "POST", "/api/v1/changes/c0-1/undo", struct{}{}, nil)
		if err != nil || no != nil {
			t.Fatalf("undoing: %v %v", no, err)
		}
		_, err = s.controller.Wait(p.alive, 2)
		must(t, err)
		s.kill(p)
		s.controller.Break(controller.Healthy)
		s.play()
		probed(t, s.judge())
	})
	t.Run("mail", func(t *testing.T) {
		t.Parallel()
		s := newTale(t, "1s")
		s.mailbox.Break(mailbox.StuckAfterData)
		p := s.begin()
		must(t, p.ready(s.url))
		must(t, s.press(p))
		_, err := s.mailbox.Wait(p.alive, 1)
		must(t, err)
		s.kill(p)
		s.mailbox.Break(mailbox.Healthy)
		s.play()
		s.judge()
		if n := len(s.mailbox.Mails()); n != 2 {
			t.Errorf("got %d mails, want the one that was not confirmed once more", n)
		}
	})
}

// press plays the tape.
func (s *tale) press(p *process) error {
	_, err := p.in.Write([]byte{'p'})
	return err
}

// upToAnswer carries the story until Block was pressed.
func (s *tale) upToAnswer(p *process) error {
	if err := p.ready(s.url); err != nil {
		return err
	}
	if err := s.press(p); err != nil {
		return err
	}
	return s.answer(p.alive)
}

func (s *tale) kill(p *process) {
	s.t.Helper()
	p.crash(s.t)
	s.end(p)
}

// probed wants one step whose result came from asking the controller.
func probed(t *testing.T, b *closedBox) {
	t.Helper()
	n := 0
	for _, done := range b.steps(t) {
		if done.Probed {
			n++
		}
	}
	if n != 1 {
		t.Errorf("got %d steps that were settled by asking, want one", n)
	}
}
