package worker

import (
	"fmt"
	"os"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // a contained worker cannot read zones from files

	"larkspur/engine/wire"
)

// FD is the descriptor on which the sandbox hands over the connection.
const FD = 3

// openTrace maps the page of a worker that is traced; nil for another.
func openTrace() ([]byte, error) {
	if os.Getenv(wire.TraceVariable) == "" {
		return nil, nil
	}
	page, err := syscall.Mmap(wire.TraceFD, 0, wire.TraceBytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("worker: mapping the page of the trace: %w", err)
	}
	return page, nil
}

// maxStackBytes ends a runaway recursion in Go before it takes all memory.
const maxStackBytes = 64 << 20

// Main is the worker process: it answers the supervisor at the other end of the
// descriptor until that one closes it, contained from the first message on.
func Main(fd int) error {
	debug.SetMaxStack(maxStackBytes)
	conn := os.NewFile(uintptr(fd), "supervisor")
	if conn == nil {
		return fmt.Errorf("worker: descriptor %d is not open: this command is started by Larkspur itself", fd)
	}
	defer conn.Close()
	trace, err := openTrace()
	if err != nil {
		return err
	}
	return serve(conn, Contain, trace)
}
