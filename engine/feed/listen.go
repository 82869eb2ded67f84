package feed

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"larkspur/engine"
	"larkspur/engine/capture"
)

const (
	// maxTappers bounds the dnstap clients that are connected at once.
	maxTappers = 64
	// batchSize is how much of a connection's frames goes to the reader at once.
	batchSize = 64 << 10
	// batches is how many of them may wait for the reader: 16 MiB of frames, or a
	// frame each if they are large.
	batches = 256
)

// batch is some frames of one connection: where each ends in data.
type batch struct {
	data []byte
	ends []int
}

// Listener takes dnstap from programs that connect to a socket, several at once.
// Its Run accepts them; Next gives what they send. What comes faster than it is
// read is dropped and counted, so that no resolver waits for Larkspur. Next is for
// one goroutine.
type Listener struct {
	counts
	listener net.Listener
	taps     taps
	queue    chan batch

	current batch
	given   int // frames of current
	message capture.Message

	mu    sync.Mutex // guards open
	conns map[net.Conn]bool
}

// Socket says where dnstap is waited for.
type Socket struct {
	// Address is "unix:/run/larkspur/dnstap.sock" or "tcp://127.0.0.1:6000".
	Address string
	// Mode and Group are those of a Unix socket; 0 and "" leave what the system
	// gives, which lets only our own user connect where the umask is 077.
	Mode  fs.FileMode
	Group string
	// Messages are names of Families; none are DefaultFamilies.
	Messages []string
}

// Listen opens the socket. A Unix socket that nobody listens on any more is
// replaced. Its errors are of kind Invalid, Denied or Conflict.
func Listen(s Socket) (*Listener, error) {
	t, err := newTaps(s.Messages)
	if err != nil {
		return nil, err
	}
	network, address := s.split()
	if network == "unix" {
		if err := removeStale(address); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, listenError(s.Address, err)
	}
	if network == "unix" {
		err = s.permit(address)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return &Listener{listener: l, taps: t, queue: make(chan batch, batches), conns: map[net.Conn]bool{}}, nil
}

// split tells the parts of the address.
func (s Socket) split() (network, address string) {
	if path, unix := strings.CutPrefix(s.Address, "unix:"); unix {
		return "unix", strings.TrimPrefix(path, "//")
	}
	return "tcp", strings.TrimPrefix(s.Address, "tcp://")
}

// removeStale removes a socket that nobody listens on.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return nil // listening says what is wrong
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return engine.Errorf(engine.Conflict, "dnstap %q: there is a file that is no socket", path).WithHint("name another path, or remove it")
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return engine.Errorf(engine.Conflict, "dnstap %q: another program listens there", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	if err := os.Remove(path); err != nil {
		return engine.Errorf(engine.Denied, "dnstap %q: a socket that is left over: %w", path, err)
	}
	return nil
}

func listenError(address string, err error) error {
	var cause *os.SyscallError
	if errors.As(err, &cause) {
		err = cause.Err
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return engine.Errorf(engine.Denied, "dnstap %q: %w", address, err).WithHint("let the user of larkspur write to the folder")
	case errors.Is(err, fs.ErrNotExist):
		return engine.Errorf(engine.NotFound, "dnstap %q: %w", address, err).WithHint("make the folder: the socket itself is made by larkspur")
	}
	return engine.Errorf(engine.Unavailable, "dnstap %q: %w", address, err)
}

// permit gives a Unix socket its group and mode.
func (s Socket) permit(path string) error {
	if s.Group != "" {
		id, err := groupID(s.Group)
		if err == nil {
			err = os.Chown(path, -1, id)
		}
		if err != nil {
			return engine.Errorf(engine.Denied, "dnstap %q: group %q: %w", path, s.Group, err).
				WithHint("the user of larkspur must be in the group: usermod -a -G GROUP larkspur")
		}
	}
	if s.Mode == 0 {
		return nil
	}
	if err := os.Chmod(path, s.Mode); err != nil {
		return engine.Errorf(engine.Denied, "dnstap %q: mode %o: %w", path, s.Mode, err)
	}
	return nil
}

func groupID(name string) (int, error) {
	if id, err := strconv.Atoi(name); err == nil {
		return id, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}

// Addr is where it listens.
func (l *Listener) Addr() net.Addr { return l.listener.Addr() }

// Run accepts clients until ctx ends, which it returns, or Close is called; then no
// connection is open any more, and Next returns io.EOF once the last frame is read.
func (l *Listener) Run(ctx context.Context) error {
	var clients sync.WaitGroup
	stop := context.AfterFunc(ctx, func() { l.closeAll() })
	defer stop()
	slots := make(chan struct{}, maxTappers)
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			l.closeAll()
			clients.Wait()
			close(l.queue)
			return ctx.Err()
		}
		select {
		case slots <- struct{}{}:
		default:
			slog.Warn("dnstap: too many clients at once; one was turned away", "socket", l.Addr().String(), "most", maxTappers)
			conn.Close()
			continue
		}
		l.enter(conn)
		clients.Go(func() {
			l.serve(conn)
			<-slots
		})
	}
}

// closeAll ends the listening and all connections.
func (l *Listener) closeAll() {
	l.listener.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.conns {
		conn.Close()
	}
}

func (l *Listener) enter(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[conn] = true
}

// serve reads one connection to its end.
func (l *Listener) serve(conn net.Conn) {
	defer func() {
		l.mu.Lock()
		delete(l.conns, conn)
		l.mu.Unlock()
		conn.Close()
	}()
	s := frameStream{in: bufio.NewReaderSize(conn, batchSize), out: conn}
	err := s.open()
	for err == nil {
		err = l.fill(&s)
	}
	switch {
	case err == io.EOF, errors.Is(err, net.ErrClosed):
	case errors.Is(err, errTooLong):
		l.drop(TooLong, 1)
		fallthrough
	default:
		slog.Warn("dnstap: a connection broke off", "socket", l.Addr().String(), "error", err)
	}
}

// fill reads frames until a batch is full or no more have come, and hands it on.
func (l *Listener) fill(s *frameStream) (err error) {
	b := batch{data: make([]byte, 0, batchSize)}
	for err == nil && len(b.data) < batchSize {
		if len(b.ends) > 0 && s.in.Buffered() == 0 {
			break
		}
		before := len(b.data)
		b.data, err = s.next(b.data)
		if err == nil {
			b.ends = append(b.ends, len(b.data))
			l.taken(len(b.data) - before)
		}
	}
	if len(b.ends) == 0 {
		return err
	}
	select {
	case l.queue <- b:
	default:
		l.drop(FeedFull, uint64(len(b.ends)))
	}
	return err
}

// Next returns the next message; it is valid until the following call. It waits
// until ctx ends, whose error it returns then.
func (l *Listener) Next(ctx context.Context) (*capture.Message, error) {
	for {
		for l.given < len(l.current.ends) {
			if m := l.taps.make(l.current.frame(l.given), &l.message, &l.counts); m != nil {
				l.given++
				return m, nil
			}
			l.given++
		}
		select {
		case b, open := <-l.queue:
			if !open {
				return nil, errors.Join(ctx.Err(), io.EOF)
			}
			l.current, l.given = b, 0
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (b batch) frame(i int) []byte {
	start := 0
	if i > 0 {
		start = b.ends[i-1]
	}
	return b.data[start:b.ends[i]]
}

// make makes the message of a frame, or counts why there is none.
func (t taps) make(frame []byte, m *capture.Message, c *counts) *capture.Message {
	var e entry
	if reason := t.read(frame, &e); reason != "" {
		c.drop(reason, 1)
		return nil
	}
	msg, err := e.message(m)
	if err != nil {
		c.drop(badMessage, 1)
		return nil
	}
	c.message(msg.Response())
	return msg
}

// Close ends the listening; Run returns.
func (l *Listener) Close() error {
	l.closeAll()
	return nil
}
