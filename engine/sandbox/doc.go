// Package sandbox starts, limits and pools the worker processes, the only ones
// that parse or evaluate scripts. DESIGN section 3.
//
// Begin with Open and Run; then Load bundles, Start calls and drive each with
// Next and Answer. What a worker sends is outside data: bounded, checked against
// the state of its call, and a worker that breaks the protocol is killed. The
// death of a worker is an ordinary event: calls that it held fail with ErrDied
// and can be started again with their journal.
//
// The worker is this very program: `larkspur worker-launch` limits itself and
// executes `larkspur worker`.
package sandbox

// Names of the two hidden commands.
const (
	LaunchCommand = "worker-launch"
	WorkerCommand = "worker"
)
