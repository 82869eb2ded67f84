package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// ErrDied says that the worker that held a call is gone. The errors that match
// it are *Death.
var ErrDied = errors.New("the worker died")

// ErrClosed says that the pool was closed.
var ErrClosed = errors.New("the sandbox is closed")

// Reasons of a death.
const (
	DiedMemory   = "memory"   // over its limit of memory or stack
	DiedTime     = "time"     // silent for too long: a sort or a number without end
	DiedKilled   = "killed"   // by a signal that was not ours
	DiedExit     = "exit"     // ended by itself
	DiedProtocol = "protocol" // sent what it may not; we killed it
)

// Death is why and how a worker died.
type Death struct {
	Why    string
	Detail string
	// Suspect tells the call that the worker had computed for longest when it
	// died from the others, which are innocent.
	Suspect bool
	// At is where the script was ("scripts/a.star:3:9"), of a call that was alone.
	At string
}

// Error says why, and what the process said last.
func (d *Death) Error() string { return fmt.Sprintf("the worker died (%s): %s", d.Why, d.Detail) }

// Is matches ErrDied.
func (d *Death) Is(target error) bool { return target == ErrDied }

// exitDeath reads the reason of a process that ended without being told to.
func exitDeath(state *os.ProcessState, said string) *Death {
	last := lastWords(said)
	if oomSaid(said) {
		return &Death{Why: DiedMemory, Detail: last}
	}
	status, _ := state.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return &Death{Why: DiedKilled, Detail: strings.TrimSpace(status.Signal().String() + "; " + last)}
	}
	return &Death{Why: DiedExit, Detail: fmt.Sprintf("exit status %d; %s", status.ExitStatus(), last)}
}

// oomSaid knows the runtime's last words about memory and stacks. A collector
// that gets no memory for itself dereferences nil, which a program without C and
// unsafe code cannot do otherwise outside of a panic.
func oomSaid(said string) bool {
	if strings.HasPrefix(said, "SIGSEGV: segmentation violation") {
		return true
	}
	for _, words := range []string{"out of memory", "cannot allocate memory", "stack exceeds", "stack overflow"} {
		if strings.Contains(said, words) {
			return true
		}
	}
	return false
}

// lastWords is the line of a worker's standard error that says most.
func lastWords(said string) string {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	for _, line := range lines {
		if strings.HasPrefix(line, "fatal error: ") || strings.HasPrefix(line, "panic: ") {
			return fmt.Sprintf("%.200q", line)
		}
	}
	if lines[0] == "" {
		return "it said nothing"
	}
	return fmt.Sprintf("%.200q", lines[0])
}

// maxSaidBytes is how much of a worker's standard error is kept.
const maxSaidBytes = 8 << 10

// said keeps the beginning of what a worker writes to standard error. Written by
// one goroutine of os/exec and read after Wait.
type said struct{ text []byte }

// Write keeps what fits and drops the rest.
func (s *said) Write(p []byte) (int, error) {
	if room := maxSaidBytes - len(s.text); room > 0 {
		s.text = append(s.text, p[:min(room, len(p))]...)
	}
	return len(p), nil
}
