package story

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"larkspur/engine"
)

// way is a way to the mail server that can be shut: a port that hands on.
type way struct {
	port int
	to   string

	mu     sync.Mutex // guards listen
	listen net.Listener
}

// open lets mails through until the test ends.
func (w *way) open(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(w.port)))
	must(t, err)
	w.mu.Lock()
	w.listen = l
	w.mu.Unlock()
	var going sync.WaitGroup
	going.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			going.Go(func() { w.hand(in) })
		}
	})
	t.Cleanup(func() { l.Close(); going.Wait() })
}

func (w *way) hand(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer out.Close()
	var both sync.WaitGroup
	both.Go(func() { io.Copy(out, in); out.Close() })
	both.Go(func() { io.Copy(in, out); in.Close() })
	both.Wait()
}

// TestMailWhileTheServerIsDown: a mail waits in the ledger, is shown with why, and is
// delivered once the server is up.
func TestMailWhileTheServerIsDown(t *testing.T) {
	w := &way{}
	b := serveIn(t, func(dir string) {
		_, port, err := net.SplitHostPort(freeAddress(t))
		must(t, err)
		w.port, err = strconv.Atoi(port)
		must(t, err)
		path := filepath.Join(dir, "larkspur.yaml")
		text, err := os.ReadFile(path)
		must(t, err)
		before, after, ok := bytes.Cut(text, []byte("smtp:"))
		host, rest, found := bytes.Cut(after, []byte("port: "))
		old, tail, _ := bytes.Cut(rest, []byte("\n"))
		if !ok || !found {
			t.Fatalf("no port of smtp in %s", text)
		}
		w.to = net.JoinHostPort("127.0.0.1", string(bytes.TrimSpace(old)))
		must(t, os.WriteFile(path, bytes.Join([][]byte{before, []byte("smtp:"), host, []byte("port: "), []byte(port), []byte("\n"), tail}, nil), 0o600))
	})
	b.play()
	mails := func() (list []engine.Mail) {
		var page struct{ Items []engine.Mail }
		must(t, b.client().get(b.ctx, "/api/v1/mails", &page))
		return page.Items
	}
	b.eventually("a mail that waits", func() bool { return len(mails()) == 1 })
	m := mails()[0]
	if m.Tries != 1 || !strings.Contains(m.Error, "refused") || m.To[0] != "dave@example.org" || m.Question == "" {
		t.Errorf("got %+v", m)
	}
	i := b.until("the note of it", func(i *incident) bool { return strings.Contains(i.told(), "mail for dave@example.org waits") })
	if i.Status != engine.IncidentOpen {
		t.Errorf("got %+v", i)
	}
	w.open(t)
	b.clock.advance(61 * time.Second)
	b.mailTo("dave@example.org", "What you can choose")
	b.eventually("no mail to wait", func() bool { return len(mails()) == 0 })
}
