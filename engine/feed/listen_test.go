package feed

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/capture"
)

// listening opens a Listener on a Unix socket and runs it.
func listening(t *testing.T, s Socket) *Listener {
	t.Helper()
	if s.Address == "" {
		s.Address = "unix:" + filepath.Join(t.TempDir(), "tap.sock")
	}
	l, err := Listen(s)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- l.Run(t.Context()) }()
	t.Cleanup(func() {
		l.Close()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	return l
}

// tapper is a program that sends dnstap.
type tapper struct {
	*testing.T
	net.Conn
	in *bufio.Reader
}

func newTapper(t *testing.T, l *Listener) *tapper {
	t.Helper()
	conn, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &tapper{t, conn, bufio.NewReader(conn)}
}

func (c *tapper) send(parts ...[]byte) {
	c.Helper()
	for _, part := range parts {
		if _, err := c.Write(part); err != nil {
			c.Fatal(err)
		}
	}
}

// hears reads a control frame.
func (c *tapper) hears(kind uint32) {
	c.Helper()
	s := frameStream{in: c.in}
	if got, _, err := s.control(); got != kind || err != nil {
		c.Errorf("got control frame %d, %v; want %d", got, err, kind)
	}
}

// framed are the data frames of a file of testdata.
func framed(t *testing.T, file string) (frames [][]byte) {
	t.Helper()
	in, err := os.Open(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	s := frameStream{in: bufio.NewReader(in)}
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := s.next(nil)
		if err != nil {
			return frames
		}
		frames = append(frames, append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...))
	}
}

// receives reads n messages and returns their lines.
func receives(t *testing.T, l *Listener, n int) (lines []string) {
	t.Helper()
	for range n {
		m, err := l.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, told(m))
	}
	return lines
}

func TestListenShakesHands(t *testing.T) {
	l := listening(t, Socket{})
	frames := framed(t, "unbound.fstrm")
	c := newTapper(t, l)
	c.send(appendControl(nil, controlReady, contentType))
	c.hears(controlAccept)
	c.send(appendControl(nil, controlStart, contentType))
	c.send(frames...)
	want, _ := os.ReadFile("testdata/unbound.fstrm.want")
	if got := receives(t, l, len(frames)); !strings.HasPrefix(string(want), strings.Join(got, "\n")+"\n") {
		t.Errorf("got %q", got)
	}
	c.send(appendControl(nil, controlStop, ""))
	c.hears(controlFinish)
}

// Several programs send at once, one of them without shaking hands.
func TestListenTakesSeveralClients(t *testing.T) {
	l := listening(t, Socket{Address: "tcp://127.0.0.1:0"})
	frames := framed(t, "named.fstrm")
	for range 5 {
		c := newTapper(t, l)
		c.send(appendControl(nil, controlStart, contentType))
		c.send(frames...)
	}
	receives(t, l, 5*len(frames))
	if s := l.Stats(); s.Messages != uint64(5*len(frames)) || s.Queries != s.Responses || len(s.Lost) > 0 {
		t.Errorf("got %+v", s)
	}
}

func TestFamilies(t *testing.T) {
	in, err := os.ReadFile("testdata/named.fstrm")
	if err != nil {
		t.Fatal(err)
	}
	both := strings.Count(listed(t, "named", in, Format{Kind: Dnstap}), "127.0.0.1:5404")
	auth := strings.Count(listed(t, "named", in, Format{Kind: Dnstap}, "auth"), "127.0.0.1:5404")
	client := strings.Count(listed(t, "named", in, Format{Kind: Dnstap}, "client"), "127.0.0.1:5404")
	if auth == 0 || client == 0 || auth+client != both {
		t.Errorf("got %d of both, %d of auth, %d of client", both, auth, client)
	}
	want := `dnstap messages: got "everything", want some of ["auth" "resolver" "client" "forwarder" "stub" "tool" "update"]`
	if _, err := Listen(Socket{Address: "tcp://127.0.0.1:0", Messages: []string{"everything"}}); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A resolver on the port of mDNS speaks DNS.
func TestServiceIsDNS(t *testing.T) {
	var out []entry
	d := &dnsmasq{stamper: stamper{time.UTC, moment}}
	d.line([]byte("dnsmasq[1]: 1 192.0.2.7/5353 query[A] a.example from 192.0.2.7"), &out)
	for _, e := range append(out, entry{wire: make([]byte, 12), Said: capture.Said{Server: netip.MustParseAddrPort("192.0.2.53:5353")}}) {
		m, err := e.message(new(capture.Message))
		if err != nil || m.Service != capture.DNS {
			t.Errorf("got %v, %v", m, err)
		}
	}
}

// What is no dnstap ends its connection, and no other.
func TestListenSurvivesStrangers(t *testing.T) {
	l := listening(t, Socket{})
	for _, sent := range [][]byte{
		[]byte("GET / HTTP/1.1\r\n\r\n"),
		appendControl(nil, controlReady, "protobuf:other"),
		appendControl(nil, controlStop, ""),
		append(appendControl(nil, controlStart, contentType), 0xff, 0xff, 0xff, 0xff),
		append(appendControl(nil, controlStart, contentType), 0, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3),
	} {
		c := newTapper(t, l)
		c.send(sent)
		if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Logf("%x: %v", sent, err) // reset: what was sent was not read to its end
		}
	}
	c := newTapper(t, l)
	c.send(appendControl(nil, controlStart, contentType), []byte{0, 0, 0, 2, 0xff, 0xff})
	c.send(framed(t, "named.fstrm")...)
	receives(t, l, 1)
	if s := l.Stats(); s.Lost[TooLong] != 1 || s.Undecodable[badFrame] != 1 {
		t.Errorf("got %+v, want a frame that is too long and one that is no protobuf", s)
	}
}

func TestListenReplacesASocketThatIsLeftOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tap.sock")
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(Socket{Address: "unix:" + path}); engine.KindOf(err) != engine.Conflict || err.Error() != `dnstap "`+path+`": another program listens there` {
		t.Errorf("got %v", err)
	}
	old.SetUnlinkOnClose(false)
	old.Close()
	l := listening(t, Socket{Address: "unix:" + path, Mode: 0o660, Group: "0"})
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("got %v, %v; want mode 0660", info, err)
	}
	l.Close()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Close: %v", err)
	}
	os.WriteFile(path, []byte("text"), 0o600)
	if _, err := Listen(Socket{Address: "unix:" + path}); err == nil || err.Error() != `dnstap "`+path+`": there is a file that is no socket` {
		t.Errorf("got %v", err)
	}
	if _, err := Listen(Socket{Address: "unix:" + path + "/none/tap.sock"}); err == nil {
		t.Error("a folder that is not there was taken")
	}
}

// A cut file gives all before the cut, and says so.
func TestReadTellsOfACutFile(t *testing.T) {
	in, err := os.ReadFile("testdata/unbound.fstrm")
	if err != nil {
		t.Fatal(err)
	}
	whole := len(framed(t, "unbound.fstrm"))
	x, err := Read("cut.fstrm", bufio.NewReader(strings.NewReader(string(in[:len(in)-20]))), Format{Kind: Dnstap})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		if _, err = x.Next(t.Context()); err != nil {
			break
		}
		n++
	}
	if want := "cut.fstrm: the file ends too early"; err.Error() != want || n != whole-1 {
		t.Errorf("got %v after %d messages, want %s after %d", err, n, want, whole-1)
	}
}
