package capture

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"larkspur/engine"

	"golang.org/x/sys/unix"
)

const (
	// pollMillis is how long a wait for a frame lasts before the context and the
	// interface are looked at again.
	pollMillis = 200
	// reopenEvery is how often an interface that went away is looked for.
	reopenEvery = time.Second
)

// Live captures from a network interface, both directions, in promiscuous mode:
// from a ring that the kernel fills, or, where none is to be had, with a system
// call for each frame. When the interface goes away, Next waits until there is
// one of its name again.
type Live struct {
	cfg    LiveConfig
	group  *fanout // nil: the only reader of the interface
	leads  bool    // of the readers of a group, one counts outages
	counts sourceCounts
	recv   receiver
	down   bool                                             // an outage was counted and no frame came since
	ring   func(fd, size int, link LinkType) (*ring, error) // newRing, but for tests

	mu     sync.Mutex // guards what follows, against Stats and State
	sock   *packetSocket
	noRing string
}

// OpenLive begins to capture from a network interface. It needs root or
// CAP_NET_RAW, otherwise the error is of kind Denied; without such an interface it
// is NotFound.
func OpenLive(cfg LiveConfig) (*Live, error) {
	l := newLive(cfg)
	if err := l.open(); err != nil {
		return nil, l.explain(err)
	}
	return l, nil
}

// OpenFanout is OpenLive for several readers of one interface. What two hosts say
// to each other, fragments included, comes to one reader.
func OpenFanout(cfg LiveConfig, readers int) ([]*Live, error) {
	group := new(fanout)
	var lives []*Live
	for i := range readers {
		l := newLive(cfg)
		l.group, l.leads = group, i == 0
		if err := l.open(); err != nil {
			for _, opened := range lives {
				opened.Close()
			}
			return nil, l.explain(err)
		}
		lives = append(lives, l)
	}
	return lives, nil
}

func newLive(cfg LiveConfig) *Live {
	if len(cfg.Ports) == 0 {
		cfg.Ports = defaultPorts
	}
	l := &Live{cfg: cfg, leads: true, ring: newRing}
	l.recv.init()
	return l
}

// open makes a new socket the one that is read.
func (l *Live) open() error {
	sock, noRing, err := l.openSocket()
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sock, l.noRing = sock, noRing
	return nil
}

var errNoInterface = errors.New("no such interface")

// explain says what to do about an error of opening.
func (l *Live) explain(err error) error {
	name := l.cfg.Interface
	switch {
	case errors.Is(err, errNoInterface):
		return engine.Errorf(engine.NotFound, "interface %q: %w", name, err).WithHint("%s", knownInterfaces())
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return engine.Errorf(engine.Denied, "interface %q: %w", name, err).
			WithHint("run as root, or give the program CAP_NET_RAW: setcap cap_net_raw+ep on the file, AmbientCapabilities=CAP_NET_RAW in a systemd unit")
	}
	return engine.Errorf(engine.Unavailable, "interface %q: %w", name, err)
}

func knownInterfaces() string {
	list, err := net.Interfaces()
	if err != nil || len(list) == 0 {
		return "see ip link for the names of the interfaces"
	}
	hint := "the interfaces are"
	for _, it := range list {
		hint += " " + it.Name
	}
	return hint
}

// Next waits for a frame. The wait ends when ctx does, and survives the interface.
// From a ring, ctx is looked at between blocks.
func (l *Live) Next(ctx context.Context, f *Frame) error {
	if l.sock != nil && l.sock.ring != nil && l.sock.ring.block.next(f) {
		return nil
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if l.sock == nil {
			if err := l.reopen(ctx); err != nil {
				return err
			}
		}
		err := l.receive(f)
		switch err {
		case nil:
			l.down = false
			return nil
		case unix.EINTR:
		case unix.EAGAIN:
			if !readable(l.sock.fd, pollMillis) && l.gone() {
				l.outage()
				l.closeSocket()
			}
		case unix.ENETDOWN, unix.ENODEV, unix.ENXIO:
			l.outage()
			if l.gone() {
				l.closeSocket()
			} // otherwise the socket goes on when the interface is up again
		default:
			return engine.Errorf(engine.Unavailable, "interface %q: receiving: %w", l.cfg.Interface, err)
		}
	}
}

// receive takes what is there: the next frame, EAGAIN, or another errno.
func (l *Live) receive(f *Frame) error {
	if l.sock.ring == nil {
		return l.recv.receive(l.sock, f, &l.counts)
	}
	for l.sock.ring.advance(&l.counts) {
		if l.sock.ring.block.next(f) {
			return nil
		}
	}
	errno, err := unix.GetsockoptInt(l.sock.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch {
	case err != nil:
		return err
	case errno != 0:
		return unix.Errno(errno)
	}
	return unix.EAGAIN
}

// gone reports whether the interface that the socket is bound to is there no more.
// The socket itself is asked: its network namespace may not be that of the thread.
func (l *Live) gone() bool {
	index, err := interfaceIndex(l.sock.fd, l.cfg.Interface)
	return errors.Is(err, errNoInterface) || (err == nil && index != l.sock.index)
}

// outage counts that the interface went down or away, once until it is back.
func (l *Live) outage() {
	if !l.down && l.leads {
		l.counts.outages.Add(1)
	}
	l.down = true
}

// reopen waits for an interface of the name.
func (l *Live) reopen(ctx context.Context) error {
	tick := time.NewTicker(reopenEvery)
	defer tick.Stop()
	for {
		err := l.open()
		if err == nil {
			return nil
		}
		if !errors.Is(err, errNoInterface) && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.ENXIO) && !errors.Is(err, unix.ENETDOWN) {
			return l.explain(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Stats returns what was captured so far.
func (l *Live) Stats() SourceStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.countDrops()
	return l.counts.snapshot()
}

// countDrops asks the kernel how many frames it dropped since it was last asked.
func (l *Live) countDrops() {
	if l.sock != nil {
		dropped, frozen := l.sock.drops()
		l.counts.dropped.Add(dropped)
		l.counts.frozen.Add(frozen)
	}
}

// State tells how the capture fares. It may be called at any time, from any
// goroutine.
func (l *Live) State() LiveState {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := LiveState{Away: l.sock == nil, NoRing: l.noRing}
	if last := l.counts.last.Load(); last != 0 {
		s.LastFrame = time.Unix(0, last).UTC()
	}
	if l.sock == nil {
		return s
	}
	if l.sock.ring != nil {
		s.RingBytes = len(l.sock.ring.memory)
	}
	flags, err := l.sock.interfaceFlags(l.cfg.Interface)
	s.Away = err != nil
	s.Down = err == nil && flags&unix.IFF_UP == 0
	s.NoCarrier = err == nil && !s.Down && flags&unix.IFF_RUNNING == 0
	return s
}

// Close ends the capture.
func (l *Live) Close() error {
	l.closeSocket()
	return nil
}

func (l *Live) closeSocket() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sock != nil {
		l.countDrops()
		l.sock.close()
		l.sock = nil
	}
}
