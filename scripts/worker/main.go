package worker

import (
	"fmt"
	"os"
	"runtime/debug"
	_ "time/tzdata" // a contained worker cannot read zones from files
)

// FD is the descriptor on which the sandbox hands over the connection.
const FD = 3

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
	return Serve(conn, Contain)
}
