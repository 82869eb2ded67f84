package ledger_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// These tests fill real disks. What could die of it runs in a process of its
// own, this test binary with childVariable set: it takes a command a line and
// says a line for each thing that happened.
const childVariable = "LARKSPUR_FULL_DISK_CHILD"

// TestFullDiskChild is that process.
func TestFullDiskChild(t *testing.T) {
	dir := os.Getenv(childVariable)
	if dir == "" {
		return // not a child
	}
	c := &writer{say: make(chan string, 64)}
	go func() {
		for line := range c.say {
			fmt.Println(line)
		}
	}()
	c.fixture = open(t, dir, 1, nil)
	c.say <- "opened"
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		c.obey(t, strings.Fields(in.Text()))
	}
}

// writer is the child's side.
type writer struct {
	*fixture
	say     chan string
	stop    atomic.Bool
	refused atomic.Bool
	writers sync.WaitGroup
}

func (c *writer) obey(t *testing.T, words []string) {
	switch words[0] {
	case "write":
		c.stop.Store(false)
		var writers, bytes int
		if _, err := fmt.Sscan(words[1]+" "+words[2], &writers, &bytes); err != nil {
			t.Fatal(err)
		}
		for range writers {
			c.writers.Go(func() { c.write(t, bytes/2) })
		}
	case "stop":
		c.stop.Store(true)
		c.writers.Wait()
		c.say <- "stopped"
	case "check":
		c.say <- c.check(words[1])
	case "disk":
		d, err := c.store.Disk()
		if err != nil {
			t.Fatal(err)
		}
		d.Err = nil
		text, _ := json.Marshal(d)
		c.say <- "disk " + string(text)
	case "close":
		c.fixture.close(t)
		c.say <- "closed"
	}
}

// write appends as fast as the disk takes it, and tells what was acknowledged.
func (c *writer) write(t *testing.T, noiseBytes int) {
	noise := make([]byte, noiseBytes)
	for !c.stop.Load() {
		rand.Read(noise)
		payload := []byte(`"` + hex.EncodeToString(noise) + `"`)
		got, err := c.ledger.Append(context.Background(), 0, ledger.New{Kind: record.EventSeenKind, Payload: payload})
		switch {
		case err == nil:
			c.say <- fmt.Sprintf("ack %d %x", got[0].Header.Record, sha256.Sum256(payload))
			if c.refused.Swap(false) {
				c.say <- "resumed"
			}
		case engine.NoRoom(err):
			if e := engine.AsError(err); e.Kind != engine.Unavailable || e.Maybe || e.Hint == "" || got != nil {
				t.Errorf("got %+v and %v, want a refusal that says what to do", e, got)
			}
			c.refused.Store(true)
			c.say <- "refused"
			<-time.After(5 * time.Millisecond) // the condition is the disk's
		default:
			t.Errorf("append: %v", err)
			return
		}
	}
}

// check compares what was acknowledged with what is there.
func (c *writer) check(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, line := range lines {
		var n uint64
		var want string
		fmt.Sscanf(line, "%d %s", &n, &want)
		rec, err := c.ledger.Record(0, n)
		if err != nil {
			return fmt.Sprintf("record %d: %v", n, err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(rec.Payload)); got != want {
			return fmt.Sprintf("record %d: got %s, want %s", n, got, want)
		}
	}
	return fmt.Sprintf("checked %d", len(lines))
}

// child is the parent's side of a writer.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.Writer
	lines chan string
	ended chan error
	acks  *acks
	said  transcript // on stderr
}

// transcript keeps what a child says while it is read.
type transcript struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// acks are what children acknowledged, by record.
type acks struct {
	list []string
}

func startChild(t *testing.T, dir string, a *acks) *child {
	t.Helper()
	c := &child{t: t, lines: make(chan string, 64), ended: make(chan error, 1), acks: a}
	c.cmd = exec.Command(os.Args[0], "-test.run=^TestFullDiskChild$", "-test.timeout=60s")
	c.cmd.Env = append(os.Environ(), childVariable+"="+dir)
	c.cmd.Stderr = &c.said
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.cmd.Process.Kill() })
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			c.lines <- s.Text()
		}
		close(c.lines)
		c.ended <- c.cmd.Wait()
	}()
	return c
}

func (c *child) send(line string) {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.in, line); err != nil {
		c.fail("sending "+line+": "+err.Error(), nil)
	}
}

// want waits until the child says a line that begins so; acknowledgements on the
// way are kept. forbidden ones fail the test.
func (c *child) want(prefix string) string {
	c.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case line, ok := <-c.lines:
			if !ok {
				c.fail("it ended; waited for "+prefix, <-c.ended)
			}
			if ack, is := strings.CutPrefix(line, "ack "); is {
				c.acks.list = append(c.acks.list, ack)
				if prefix == "ack" {
					return line
				}
			} else if strings.HasPrefix(line, prefix) {
				return line
			} else if strings.Contains(line, "FAIL") || strings.HasPrefix(line, "record") || strings.Contains(line, "_test.go:") {
				c.fail(line, nil)
			}
		case <-deadline:
			c.fail("waited for "+prefix, nil)
		}
	}
}

func (c *child) fail(why string, err error) {
	c.t.Helper()
	said := c.said.String()
	if at := strings.Index(said, "fatal error"); at > 0 {
		said = said[max(at-200, 0):]
	}
	c.t.Fatalf("the child: %s (%v); it said:\n%.3000s", why, err, said)
}

// check has the child compare every acknowledged record.
func (c *child) check() {
	c.t.Helper()
	path, count := filepath.Join(c.t.TempDir(), "acks"), len(c.acks.list)
	if err := os.WriteFile(path, []byte(strings.Join(c.acks.list, "\n")), 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.send("check " + path)
	if got, want := c.want("checked"), fmt.Sprintf("checked %d", count); got != want {
		c.t.Fatalf("got %q, want %q", got, want)
	}
}

func (c *child) disk() (d store.Disk) {
	c.t.Helper()
	c.send("disk")
	if err := json.Unmarshal([]byte(strings.TrimPrefix(c.want("disk"), "disk ")), &d); err != nil {
		c.t.Fatal(err)
	}
	return d
}

func (c *child) close() {
	c.t.Helper()
	c.send("close")
	c.want("closed")
	if err := c.in.(io.Closer).Close(); err != nil {
		c.t.Fatal(err)
	}
	for range c.lines {
	}
	if err := <-c.ended; err != nil {
		c.fail("it ended badly", err)
	}
}

func (c *child) kill() {
	c.t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		c.t.Fatal(err)
	}
	for line := range c.lines { // what it acknowledged before it died counts
		if ack, is := strings.CutPrefix(line, "ack "); is {
			c.acks.list = append(c.acks.list, ack)
		}
	}
	if err := <-c.ended; !strings.Contains(fmt.Sprint(err), "killed") {
		c.fail("it ended before it was killed", err)
	}
}

// diskMB is enough for the reserve and some hundred thousand records; the tests
// take most of it away with a filler.
const diskMB = 448

// onDisks runs a test on small disks of their own.
func onDisks(t *testing.T, test func(t *testing.T, dir string)) {
	if os.Geteuid() != 0 {
		cannot(t, "needs root: mounting a small disk")
	}
	t.Parallel() // these tests wait for disks more than they compute
	t.Run("ext4", func(t *testing.T) {
		t.Parallel()
		image := filepath.Join(t.TempDir(), "image")
		if err := os.WriteFile(image, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(image, diskMB<<20); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("mkfs.ext4", "-q", "-m", "0", image).CombinedOutput(); err != nil {
			cannot(t, "needs e2fsprogs: mkfs.ext4: %v %s", err, out)
		}
		test(t, mount(t, "-o", "loop", image))
	})
	t.Run("tmpfs", func(t *testing.T) {
		t.Parallel()
		test(t, mount(t, "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", diskMB), "larkspur-test"))
	})
}

func cannot(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

func mount(t *testing.T, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", append(args, dir)...).CombinedOutput(); err != nil {
		cannot(t, "needs root: mount %v: %v %s", args, err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v %s", err, out)
		}
	})
	return dir
}

func freeBytes(t *testing.T, dir string) int64 {
	t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	return int64(s.Bavail) * s.Bsize
}

// settle waits until nothing changes on a disk: flushed and compacted is what was
// written.
func settle(t *testing.T, dir string) {
	t.Helper()
	same, last := 0, int64(-1)
	for deadline := time.Now().Add(20 * time.Second); same < 100; {
		if time.Now().After(deadline) {
			t.Fatal("the disk does not come to rest")
		}
		<-time.After(5 * time.Millisecond)
		if now := freeBytes(t, dir); now != last {
			same, last = 0, now
		}
		same++
	}
}

// fill takes a disk's space but for some bytes, with a file of its own.
func fill(t *testing.T, dir, name string, leave int64) (path string) {
	t.Helper()
	path = filepath.Join(dir, name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	end := int64(0)
	for step := int64(64 << 20); step >= 64<<10; {
		if take := min(step, freeBytes(t, dir)-leave); take > 0 && unix.Fallocate(int(f.Fd()), 0, end, take) == nil {
			end += take
			continue
		}
		step /= 2
	}
	return path
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// A disk that fills up refuses appends, keeps what it acknowledged, is read
// meanwhile, and takes appends again when there is room: without a restart.
func TestFullDisk(t *testing.T) {
	onDisks(t, func(t *testing.T, dir string) {
		a := &acks{}
		c := startChild(t, dir, a)
		c.want("opened")
		filler := fill(t, dir, "filler", 104<<20)
		c.send("write 4 2400")
		c.want("refused")
		c.check()
		if d := c.disk(); !d.Full || !d.Ballast || d.Free == 0 {
			t.Errorf("got %+v, want a full disk and the ballast untouched", d)
		}
		remove(t, filler)
		c.want("resumed")
		c.send("stop")
		c.want("stopped")
		if d := c.disk(); d.Full {
			t.Errorf("got %+v, want room", d)
		}
		settle(t, dir)
		filler = fill(t, dir, "filler", 0)
		c.close() // flushes into the ballast's room

		c = startChild(t, dir, a)
		c.want("opened")
		c.check()
		if d := c.disk(); !d.Full {
			t.Errorf("got %+v, want a full disk", d)
		}
		remove(t, filler)
		c.send("write 1 100")
		c.want("ack")
		c.send("stop")
		c.want("stopped")
		c.close()
		t.Logf("%d records acknowledged", len(a.list))
	})
}

// A process that is killed on a full disk opens again there, with the ballast's
// room; when there is room, it writes, and the ballast is back.
func TestKilledOnFullDisk(t *testing.T) {
	onDisks(t, func(t *testing.T, dir string) {
		a := &acks{}
		c := startChild(t, dir, a)
		c.want("opened")
		first := fill(t, dir, "first", 104<<20)
		c.send("write 4 2400")
		c.want("refused")
		settle(t, dir)
		second := fill(t, dir, "second", 0)
		c.kill()

		c = startChild(t, dir, a)
		c.want("opened")
		c.check()
		if d := c.disk(); !d.Full || d.Ballast {
			t.Errorf("got %+v, want a full disk and the ballast given up", d)
		}
		c.send("write 1 2400")
		c.want("refused")
		remove(t, first)
		remove(t, second)
		c.want("resumed")
		c.send("stop")
		c.want("stopped")
		if d := c.disk(); d.Full || !d.Ballast {
			t.Errorf("got %+v, want room and the ballast back", d)
		}
		c.close()
		t.Logf("%d records acknowledged", len(a.list))
	})
}

// Another program takes the disk to its last byte at any moment, while eight
// writers append as fast as it goes. The logs of the memtables are allocated, so
// no commit can meet a page without room. The records are small and not many:
// what Badger does behind them is not the matter here.
func TestDiskFilledMeanwhile(t *testing.T) {
	onDisks(t, func(t *testing.T, dir string) {
		a := &acks{}
		c := startChild(t, dir, a)
		c.want("opened")
		c.send("write 8 100")
		fills := 0
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end) && len(a.list) < 5000; fills++ {
			for range mrand.IntN(100) {
				c.want("ack")
			}
			filler := fill(t, dir, "filler", 0)
			c.want("refused") // or was, before: it may go on at any moment
			remove(t, filler)
		}
		c.send("stop")
		c.want("stopped")
		c.check()
		c.close()
		t.Logf("filled %d times; %d records acknowledged", fills, len(a.list))
	})
}
