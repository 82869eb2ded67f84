package story

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// built is where the programs lie that tests start; TestMain removes it.
var built = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "larkspur-story-") })

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := built(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

var (
	larkspur = sync.OnceValues(func() (string, error) {
		if path := os.Getenv(inside); path != "" {
			return path, nil
		}
		return build("larkspur")
	})
	storybin = sync.OnceValues(func() (string, error) { return build("larkspur/appliance/story/storybin") })
)

// build makes a program as it is shipped: without cgo, and without the race
// detector, which workers cannot live under.
func build(pkg string) (string, error) {
	dir, err := built()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, filepath.Base(pkg))
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

func program(t *testing.T, of func() (string, error)) string {
	t.Helper()
	path, err := of()
	must(t, err)
	return path
}

// process is a program that a test started. It is gone when the test ends.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	bell  *bell           // rings at each line on its standard output
	alive context.Context // ends with the process
	ended chan struct{}   // closed when it is gone

	mu    sync.Mutex // guards what follows
	lines []string   // of its standard output
	log   bytes.Buffer
}

// start starts a program.
func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, bell: newBell(), ended: make(chan struct{})}
	var dead context.CancelFunc
	p.alive, dead = context.WithCancel(limited(t))
	cmd.Stderr = (*logOf)(p)
	out, err := cmd.StdoutPipe()
	must(t, err)
	p.in, err = cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	go func() {
		defer dead()
		p.read(out)
		cmd.Wait()
		close(p.ended)
		p.bell.ring()
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("%s:\n%s\n%s", strings.Join(cmd.Args, " "), strings.Join(p.said(), "\n"), p.logged())
		}
	})
	return p
}

func (p *process) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, lines.Text())
		p.mu.Unlock()
		p.bell.ring()
	}
}

// said returns the lines that the process wrote.
func (p *process) said() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.lines...)
}

// logOf takes what a process writes to its standard error.
type logOf process

func (l *logOf) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(b)
}

func (p *process) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// ready waits until the page of the process answers that it is.
func (p *process) ready(address string) error {
	return eventually(p.alive, func() bool {
		status, _, err := visit(p.alive, "GET", address+"/readyz", nil)
		return err == nil && status == http.StatusOK
	})
}

// stop asks the process to end and returns when it has.
func (p *process) stop(t *testing.T) {
	t.Helper()
	children := childrenOf(p.cmd.Process.Pid)
	must(t, p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-p.ended:
	case <-limited(t).Done():
		t.Fatal("SIGTERM does not end it")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("got exit code %d after SIGTERM, want 0", code)
	}
	gone(t, children)
}

// crash ends the process as a power cut would, and returns when it is gone.
func (p *process) crash(t *testing.T) {
	t.Helper()
	children := childrenOf(p.cmd.Process.Pid)
	must(t, p.cmd.Process.Kill())
	<-p.ended
	gone(t, children)
}

// gone waits until processes have ended.
func gone(t *testing.T, pids []int) {
	t.Helper()
	if err := eventually(limited(t), func() bool {
		for _, pid := range pids {
			if running(pid) {
				return false
			}
		}
		return true
	}); err != nil {
		t.Errorf("one of the processes %v is left behind", pids)
	}
}

// running tells whether a process is there and no zombie.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return !bytes.HasPrefix(rest, []byte("Z"))
}

// childrenOf returns the processes below one, all the way down.
func childrenOf(pid int) []int {
	var all []int
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range tasks {
		text, _ := os.ReadFile(file)
		for _, word := range strings.Fields(string(text)) {
			child, _ := strconv.Atoi(word)
			all = append(append(all, child), childrenOf(child)...)
		}
	}
	return all
}

// residentBytes is the memory that a process holds.
func residentBytes(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kilobytes, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	must(t, err)
	return kilobytes << 10
}
