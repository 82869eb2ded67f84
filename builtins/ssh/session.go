package ssh

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"larkspur/engine"
)

// ending is how a command ended.
type ending struct {
	exit   *uint32 // nil without one
	signal string  // that ended it, such as TERM
	output sink
	lost   bool // the connection went away before the end was told
}

// errRefused says that the host does not run commands for us.
var errRefused = errors.New("the host refuses to run a command")

// execute runs a command. sent is set while it may have reached the host. An
// error means that how it ended is not known, and that l is of no use any more.
func (l *link) execute(ctx context.Context, command string, stdin []byte, sent *atomic.Bool) (*ending, error) {
	lift := l.guard(ctx)
	defer lift()
	channel, requests, err := l.client.OpenChannel("session", nil)
	if err != nil {
		return nil, l.stale(ctx, err)
	}
	s := &session{link: l, channel: channel, over: make(chan struct{}), told: make(chan struct{})}
	s.ends.Go(func() { s.listen(requests) })
	sent.Store(true)
	ok, err := channel.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{command}))
	if err == nil && !ok {
		sent.Store(false)
		err = errRefused
	}
	if err != nil {
		l.close()
		s.ends.Wait()
		return nil, orDone(ctx, err)
	}
	s.follow(ctx, stdin)
	return s.verdict(ctx)
}

// orDone prefers the reason why a call was ended to what its end looked like.
func orDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// session is a command under way.
type session struct {
	*link
	channel ssh.Channel
	end     ending
	ends    sync.WaitGroup // of the channel and of both outputs
	told    chan struct{}  // closed when the exit status is there
	over    chan struct{}  // closed when all have ended
}

// follow reads a command's output to its end.
func (s *session) follow(ctx context.Context, stdin []byte) {
	s.ends.Go(func() { s.copy(&s.end.output.stdout, s.channel) })
	s.ends.Go(func() { s.copy(&s.end.output.stderr, s.channel.Stderr()) })
	var work sync.WaitGroup
	stopped := make(chan struct{})
	work.Go(func() { s.ends.Wait(); close(s.over) })
	work.Go(func() { s.watch(stopped) })
	work.Go(func() {
		if len(stdin) > 0 {
			_, _ = s.channel.Write(stdin) // a command that reads no further is not wrong
		}
		_ = s.channel.CloseWrite()
	})
	if !s.wait(ctx) {
		s.close()
	}
	close(stopped)
	late := time.AfterFunc(lingerTimeout, s.close) // for who leaves a question of watch open
	defer late.Stop()
	work.Wait()
}

// wait returns true when the command and its outputs have ended, false when that
// is not to be waited for: the call's time is over, or something that the command
// left behind holds its output.
func (s *session) wait(ctx context.Context) bool {
	select {
	case <-s.over:
		return true
	case <-ctx.Done():
		return false
	case <-s.told:
	}
	linger := time.NewTimer(lingerTimeout)
	defer linger.Stop()
	select {
	case <-s.over:
		return true
	case <-ctx.Done():
	case <-linger.C:
	}
	return false
}

// verdict says how the command ended.
func (s *session) verdict(ctx context.Context) (*ending, error) {
	switch {
	case s.end.output.flooded():
		return nil, engine.Errorf(engine.Invalid, "the command wrote more than %d MB", maxFloodBytes>>20).WithHint("send its output to a file on the host")
	case s.end.exit != nil || s.end.signal != "":
		return &s.end, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	s.end.lost = !s.alive(ctx)
	return &s.end, nil
}

// listen takes what the host says of the command (RFC 4254 §6.10).
func (s *session) listen(requests <-chan *ssh.Request) {
	var once sync.Once
	for r := range requests {
		switch r.Type {
		case "exit-status":
			var p struct{ Status uint32 }
			if ssh.Unmarshal(r.Payload, &p) == nil {
				once.Do(func() { s.end.exit = &p.Status; close(s.told) })
			}
		case "exit-signal":
			var p struct {
				Signal          string
				Dumped          bool
				Error, Language string
			}
			if ssh.Unmarshal(r.Payload, &p) == nil {
				once.Do(func() { s.end.signal = signalName(p.Signal); close(s.told) })
			}
		}
		if r.WantReply {
			_ = r.Reply(false, nil)
		}
	}
}

func (s *session) copy(to *[]byte, from io.Reader) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if !s.end.output.take(to, buffer[:n]) {
			s.close()
			return
		}
		if err != nil {
			return
		}
	}
}

// watch ends the connection when the other end has fallen silent.
func (s *session) watch(stopped <-chan struct{}) {
	ticker := time.NewTicker(keepAlive)
	defer ticker.Stop()
	for {
		select {
		case <-stopped:
			return
		case <-ticker.C:
		}
		silent := time.AfterFunc(silenceTimeout, s.close)
		_, _, err := s.client.SendRequest("keepalive@openssh.com", true, nil)
		silent.Stop()
		if err != nil {
			return
		}
	}
}

// sink keeps the beginning of both outputs, together up to the limit, and the end
// of stderr.
type sink struct {
	mu             sync.Mutex
	stdout, stderr []byte
	tail           []byte
	seen           int64
	truncated      bool
}

// take adds to stdout or stderr; false says that it is too much.
func (s *sink) take(to *[]byte, p []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen += int64(len(p))
	if to == &s.stderr {
		s.tail = append(s.tail, p...)
		s.tail = s.tail[max(0, len(s.tail)-maxTailBytes):]
	}
	room := maxOutputBytes - len(s.stdout) - len(s.stderr)
	if len(p) > room {
		p, s.truncated = p[:room], true
	}
	*to = append(*to, p...)
	return s.seen <= maxFloodBytes
}

func (s *sink) flooded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen > maxFloodBytes
}
