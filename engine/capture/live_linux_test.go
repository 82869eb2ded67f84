package capture

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/capture/capturetest"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// need skips a test that lacks something of the machine; in CI it fails.
func need(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("needs %s: %v", what, err)
	}
	t.Skipf("needs %s: %v", what, err)
}

// network is a veth pair between two network namespaces of the test's own. They
// go away with the test.
type network struct {
	t           *testing.T
	here, there int // namespaces, as open files
}

// newNetwork leaves the test's goroutine in the namespace here, where lk0 is; lk1
// is there. The thread is never given back, so that no other test runs in it.
func newNetwork(t *testing.T) *network {
	t.Helper()
	_, err := exec.LookPath("ip")
	need(t, "iproute2", err)
	runtime.LockOSThread()
	n := &network{t: t, there: newNamespace(t), here: newNamespace(t)} // the thread stays in the last
	n.addPair()
	return n
}

func newNamespace(t *testing.T) (fd int) {
	t.Helper()
	need(t, "root", unix.Unshare(unix.CLONE_NEWNET))
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	// The kernel shall say nothing of its own accord. Without IPv6 it does not.
	os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	return fd
}

func (n *network) addPair() {
	n.t.Helper()
	n.ip("link add lk0 type veth peer name lk1")
	n.ip("link set lk1 address 02:00:00:00:00:07 netns /proc/%d/fd/%d", os.Getpid(), n.there)
	n.ip("addr add 192.0.2.53/24 dev lk0")
	n.ip("link set lk0 address 02:00:00:00:00:53 up")
	n.over(func() {
		n.ip("addr add 192.0.2.7/24 dev lk1")
		n.ip("link set lk1 up")
	})
}

// over runs f in the other namespace.
func (n *network) over(f func()) {
	n.t.Helper()
	n.enter(n.there)
	defer n.enter(n.here)
	f()
}

func (n *network) enter(namespace int) {
	n.t.Helper()
	if err := unix.Setns(namespace, unix.CLONE_NEWNET); err != nil {
		n.t.Fatal(err)
	}
}

// ip runs the ip command in the namespace that the thread is in.
func (n *network) ip(format string, args ...any) {
	n.t.Helper()
	words := strings.Fields(fmt.Sprintf(format, args...))
	if out, err := exec.Command("ip", words...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v: %s", strings.Join(words, " "), err, out)
	}
}

// send puts frames on the wire at lk1.
func (n *network) send(frames ...[]byte) {
	n.t.Helper()
	n.over(func() {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			n.t.Fatal(err)
		}
		defer unix.Close(fd)
		index, _, err := lookInterface("lk1")
		if err != nil {
			n.t.Fatal(err)
		}
		for _, frame := range frames {
			if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: index}); err != nil {
				n.t.Fatal(err)
			}
		}
	})
}

// bothWays runs a test with a ring and with a plain socket. Each has a network of
// its own: the subtest's goroutine is another.
func bothWays(t *testing.T, test func(t *testing.T, n *network, cfg LiveConfig)) {
	for name, cfg := range map[string]LiveConfig{"ring": {RingBytes: MinRing}, "plain": {Plain: true}} {
		cfg.Interface = "lk0"
		t.Run(name, func(t *testing.T) { test(t, newNetwork(t), cfg) })
	}
}

func openLive(t *testing.T, cfg LiveConfig) (*Live, *Reader) {
	t.Helper()
	l, err := OpenLive(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if ring := l.State().RingBytes > 0; ring == cfg.Plain {
		t.Fatalf("got %+v, want a ring unless it is to be plain", l.State())
	}
	return l, NewReader(l)
}

// next returns the next message; there must be one.
func next(t *testing.T, r *Reader) *Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	m, err := r.Next(ctx)
	if err != nil {
		t.Fatalf("got %v (%+v), want a message", err, r.Stats())
	}
	return m
}

// seen sends a lookup until it is seen, and returns the id of what was: a link
// that came up a moment ago may not carry frames yet.
func seen(t *testing.T, n *network, r *Reader, id uint16) uint16 {
	t.Helper()
	for range 400 {
		n.send(lookup(int(id)).QueryFrame())
		if got, ok := within(t, r); ok {
			for ok { // the others that were sent meanwhile
				_, ok = within(t, r)
			}
			return got
		}
	}
	t.Fatalf("nothing is seen (%+v)", r.Stats())
	return 0
}

func within(t *testing.T, r *Reader) (id uint16, ok bool) {
	m, ok := withinMessage(t, r)
	if !ok {
		return 0, false
	}
	return m.ID, true
}

func withinMessage(t *testing.T, r *Reader) (m *Message, ok bool) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	m, err := r.Next(ctx)
	return m, err == nil
}

// quiet lets the capture wait, and fails when a message comes.
func quiet(t *testing.T, r *Reader) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if m, err := r.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, %v; want the end of the context", m, err)
	}
}

// settle lets the capture wait until a condition holds.
func settle(t *testing.T, r *Reader, what string, condition func() bool) {
	t.Helper()
	for range 500 {
		if quiet(t, r); condition() {
			return
		}
	}
	t.Fatalf("waited in vain until %s (%+v)", what, r.Stats())
}

func TestLiveFramesOfAllKinds(t *testing.T) { bothWays(t, liveFramesOfAllKinds) }

func liveFramesOfAllKinds(t *testing.T, n *network, cfg LiveConfig) {
	_, r := openLive(t, cfg)
	before := time.Now()
	tagged, double := lookup(2), lookup(3)
	tagged.VLANs, double.VLANs = []uint16{7}, []uint16{100, 7}
	for i, frame := range [][]byte{lookup(1).QueryFrame(), tagged.QueryFrame(), double.QueryFrame(), capturetest.Ethernet(client6, server6, nil, ip6Query(4))} {
		n.send(frame)
		m := next(t, r)
		if int(m.ID) != i+1 && m.Name[4] != byte('1'+i) {
			t.Errorf("frame %d: got %s", i, m.Name)
		}
		want := [][]uint16{nil, {7}, {100, 7}, nil}[i]
		if !slices.Equal(m.VLANs.IDs(), want) {
			t.Errorf("frame %d: VLANs: got %v, want %v", i, m.VLANs.IDs(), want)
		}
		if m.Time.Before(before.Add(-time.Second)) || m.Time.After(time.Now().Add(time.Second)) || m.Time.Location() != time.UTC {
			t.Errorf("frame %d: time: got %v, want now", i, m.Time)
		}
		if m.ClientMAC != MAC(client.MAC) {
			t.Errorf("frame %d: client MAC: got %s", i, m.ClientMAC)
		}
	}
	for _, packet := range pieces(server, client, 7) {
		n.send(capturetest.Ethernet(server, client, []uint16{9}, packet))
	}
	if m := next(t, r); !m.Response() || m.VLANs.IDs()[0] != 9 {
		t.Errorf("fragments: got %+v", m)
	}
	n.send(capturetest.Datagram(client, capturetest.At(9, "192.0.2.9:123"), nil, []byte("not for the filter")))
	quiet(t, r)
	if s := r.Stats(); s.Ignored[OtherPort.String()] != 0 || s.Source.KernelDropped != 0 {
		t.Errorf("got %+v, want neither other ports nor drops", s)
	}
}

// TestLiveConversation lets a real client ask a real server, over UDP and TCP.
func TestLiveConversation(t *testing.T) {
	n := newNetwork(t)
	answer := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		rr, _ := dns.NewRR(q.Question[0].Name + " 60 IN A 192.0.2.80")
		m.Answer = append(m.Answer, rr)
		w.WriteMsg(m)
	})
	packets, err := net.ListenPacket("udp", "192.0.2.53:53")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "192.0.2.53:53")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: answer}, {Listener: listener, Handler: answer}} {
		go s.ActivateAndServe()
		defer s.Shutdown()
	}
	_, r := openLive(t, LiveConfig{Interface: "lk0"})
	for id, network := range []string{"udp", "tcp"} {
		conn := n.dial(network)
		q := new(dns.Msg).SetQuestion("Live.example.org.", dns.TypeA)
		q.Id = uint16(id)
		if err := conn.WriteMsg(q); err != nil {
			t.Fatal(err)
		}
		for _, response := range []bool{false, true} {
			m := next(t, r)
			if m.Response() != response || int(m.ID) != id || m.Proto.String() != network || string(m.Name) != "live.example.org" || m.ClientMAC.String() != "02:00:00:00:00:07" {
				t.Errorf("%s: got %+v", network, m)
			}
		}
		conn.Close()
	}
}

// dial connects from the other namespace.
func (n *network) dial(network string) *dns.Conn {
	n.t.Helper()
	var conn *dns.Conn
	n.over(func() {
		fd := n.connected(network)
		f := os.NewFile(uintptr(fd), network)
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			n.t.Fatal(err)
		}
		conn = &dns.Conn{Conn: c}
	})
	return conn
}

// connected returns a socket of the thread's namespace: net.Dial may connect in
// another thread.
func (n *network) connected(network string) int {
	n.t.Helper()
	kind := unix.SOCK_DGRAM
	if network == "tcp" {
		kind = unix.SOCK_STREAM
	}
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: 53, Addr: [4]byte{192, 0, 2, 53}})
	}
	if err != nil {
		n.t.Fatal(err)
	}
	return fd
}

func TestLiveSeesLoopbackOnce(t *testing.T) {
	bothWays(t, func(t *testing.T, n *network, cfg LiveConfig) {
		n.ip("link set lo up")
		cfg.Interface = "lo"
		_, r := openLive(t, cfg)
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := unix.Sendto(fd, lookup(1).Query(), 0, &unix.SockaddrInet4{Port: 5353, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			t.Fatal(err)
		}
		if m := next(t, r); m.Service != MDNS || !m.ClientMAC.IsZero() {
			t.Errorf("got %+v", m)
		}
		quiet(t, r)
		if got := r.Stats().Source.Frames; got != 1 {
			t.Errorf("got %d frames, want the kernel to show it once", got)
		}
	})
}

func TestLiveState(t *testing.T) {
	bothWays(t, func(t *testing.T, n *network, cfg LiveConfig) {
		l, r := openLive(t, cfg)
		if s := l.State(); s.Away || s.Down || s.NoCarrier || s.NoRing != "" || !s.LastFrame.IsZero() {
			t.Errorf("fresh: got %+v", s)
		}
		before := time.Now()
		n.send(lookup(1).QueryFrame())
		m := next(t, r)
		quiet(t, r) // a ring counts a block when it is read
		if s := l.State(); s.LastFrame.Before(before.Add(-time.Second)) || !s.LastFrame.Equal(m.Time) {
			t.Errorf("last frame: got %v, want %v", s.LastFrame, m.Time)
		}
		n.over(func() { n.ip("link set lk1 down") })
		settle(t, r, "the carrier is missed", func() bool { return l.State().NoCarrier && !l.State().Down })
		n.ip("link set lk0 down")
		if s := l.State(); !s.Down || s.Away {
			t.Errorf("down: got %+v", s)
		}
		n.ip("link del lk0")
		if s := l.State(); !s.Away {
			t.Errorf("away: got %+v", s)
		}
	})
}

func TestLiveWithoutRing(t *testing.T) {
	n := newNetwork(t)
	l := newLive(LiveConfig{Interface: "lk0"})
	l.ring = func(int, int, LinkType) (*ring, error) { return nil, fmt.Errorf("asking for a ring: %w", unix.ENOMEM) }
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if s := l.State(); s.RingBytes != 0 || s.NoRing != "asking for a ring: cannot allocate memory" {
		t.Errorf("got %+v", s)
	}
	n.send(lookup(1).QueryFrame())
	if m := next(t, NewReader(l)); m.ID != 1 {
		t.Errorf("got %+v", m)
	}
}

// TestLiveJumbo sends the longest frame that a jumbo network has.
func TestLiveJumbo(t *testing.T) {
	bothWays(t, func(t *testing.T, n *network, cfg LiveConfig) {
		n.ip("link set lk0 mtu 9200")
		n.over(func() { n.ip("link set lk1 mtu 9200") })
		_, r := openLive(t, cfg)
		long := slices.Concat(lookup(1).Query(), make([]byte, 9000))
		n.send(capturetest.Datagram(client, server, []uint16{7}, long))
		if m := next(t, r); len(m.Raw) != len(long) || m.Cut || !slices.Equal(m.VLANs.IDs(), []uint16{7}) {
			t.Errorf("got %d bytes, cut %v, VLANs %v", len(m.Raw), m.Cut, m.VLANs.IDs())
		}
	})
}

// TestLiveFanout: what a client says and hears comes to one reader, fragments and
// tags or not, and each message to one alone.
func TestLiveFanout(t *testing.T) {
	const readers, clients = 3, 24
	n := newNetwork(t)
	lives, err := OpenFanout(LiveConfig{Interface: "lk0", RingBytes: 8 << 20}, readers)
	if err != nil {
		t.Fatal(err)
	}
	var frames [][]byte
	for id := range clients {
		from, to := capturetest.At(7, fmt.Sprintf("192.0.2.%d:40000", 100+id)), server
		if id%2 == 1 {
			from, to = capturetest.At(7, fmt.Sprintf("[2001:db8::%d]:40000", 100+id)), server6
		}
		l := lookup(id)
		l.Client, l.Server = from, to
		l.VLANs = [][]uint16{nil, {7}, {100, 7}}[id%3]
		frames = append(frames, l.QueryFrame(), l.ResponseFrame())
		for _, packet := range pieces(to, from, uint32(id)) {
			frames = append(frames, capturetest.Ethernet(to, from, l.VLANs, packet))
		}
	}
	n.send(frames...)
	readerOf, used, messages := map[string]int{}, map[int]bool{}, 0
	var all []*Reader
	for _, l := range lives {
		defer l.Close()
		all = append(all, NewReader(l))
	}
	for range 10 {
		for i, r := range all {
			for m, ok := withinMessage(t, r); ok; m, ok = withinMessage(t, r) {
				messages++
				used[i] = true
				name := m.Client.Addr().String()
				if other, known := readerOf[name]; known && other != i {
					t.Errorf("%s: messages came to the readers %d and %d", name, other, i)
				}
				readerOf[name] = i
			}
		}
		if messages >= 3*clients {
			break
		}
	}
	if messages != 3*clients || len(used) != readers {
		t.Errorf("got %d messages at %d readers, want %d at %d", messages, len(used), 3*clients, readers)
	}
}

func TestLiveRawIP(t *testing.T) {
	n := newNetwork(t)
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	need(t, "/dev/net/tun", err)
	defer unix.Close(fd)
	request, _ := unix.NewIfreq("lktun")
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		t.Fatal(err)
	}
	n.ip("link set lktun up")
	_, r := openLive(t, LiveConfig{Interface: "lktun"})
	for _, packet := range [][]byte{ipQuery(1), ip6Query(1)} {
		if _, err := unix.Write(fd, packet); err != nil {
			t.Fatal(err)
		}
		if m := next(t, r); string(m.Name) != "host1.example.org" || !m.ClientMAC.IsZero() {
			t.Errorf("got %+v", m)
		}
	}
}

func TestLiveInterfaceThatGoesAway(t *testing.T) { bothWays(t, liveInterfaceThatGoesAway) }

func liveInterfaceThatGoesAway(t *testing.T, n *network, cfg LiveConfig) {
	l, r := openLive(t, cfg)
	n.send(lookup(1).QueryFrame())
	next(t, r)
	for round := range uint64(2) {
		n.ip("link del lk0")
		settle(t, r, "the interface is missed", func() bool { return l.sock == nil })
		if got := l.Stats().Outages; got != 2*round+1 {
			t.Errorf("interface gone: got %d outages, want %d", got, 2*round+1)
		}
		n.addPair()
		settle(t, r, "the interface is found again", func() bool { return l.sock != nil })
		if id := seen(t, n, r, 2); id != 2 {
			t.Errorf("after it came back: got %d", id)
		}
		n.ip("link set lk0 down")
		quiet(t, r)
		n.ip("link set lk0 up")
		if id := seen(t, n, r, 3); id != 3 {
			t.Errorf("after it was down: got %d", id)
		}
		if got := l.Stats().Outages; got != 2*round+2 {
			t.Errorf("interface down: got %d outages, want %d", got, 2*round+2)
		}
	}
}

func TestLiveCountsWhatTheKernelDrops(t *testing.T) { bothWays(t, liveCountsWhatTheKernelDrops) }

func liveCountsWhatTheKernelDrops(t *testing.T, n *network, cfg LiveConfig) {
	l, r := openLive(t, cfg)
	if err := unix.SetsockoptInt(l.sock.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 20_000); err != nil {
		t.Fatal(err)
	}
	const sent = 10_000 // more than either has room for
	n.send(slices.Repeat([][]byte{lookup(1).QueryFrame()}, sent)...)
	stats := l.Stats()
	dropped := stats.KernelDropped
	if dropped == 0 || dropped >= sent {
		t.Fatalf("got %d drops of %d frames, want some", dropped, sent)
	}
	if (stats.RingFrozen > 0) == cfg.Plain {
		t.Errorf("got %+v, want it to say that a ring was full", stats)
	}
	for range sent - dropped {
		next(t, r)
	}
	quiet(t, r)
	if got := l.Stats(); got.Frames+got.KernelDropped != sent {
		t.Errorf("got %d frames and %d drops, want %d together", got.Frames, got.KernelDropped, sent)
	}
}

func TestLiveErrors(t *testing.T) {
	_, err := OpenLive(LiveConfig{Interface: "lk-none"})
	if e := engine.AsError(err); e.Kind != engine.NotFound || !strings.Contains(e.Hint, "the interfaces are") {
		t.Errorf("no such interface: got %#v", e)
	}
	_, err = OpenLive(LiveConfig{Interface: "a-name-that-is-far-too-long-for-one"})
	if engine.AsError(err).Kind != engine.NotFound {
		t.Errorf("a name too long: got %v", err)
	}
	l := &Live{cfg: LiveConfig{Interface: "eth0"}}
	e := engine.AsError(l.explain(fmt.Errorf("opening a packet socket: %w", unix.EPERM)))
	if e.Kind != engine.Denied || !strings.Contains(e.Hint, "CAP_NET_RAW") || !strings.HasPrefix(e.Message, `interface "eth0": opening a packet socket: operation not permitted`) {
		t.Errorf("no permission: got %#v", e)
	}
	ports := make([]uint16, MaxPorts+1)
	if _, err := OpenLive(LiveConfig{Interface: "lo", Ports: ports}); err == nil {
		t.Error("too many ports: got no error")
	}
}
