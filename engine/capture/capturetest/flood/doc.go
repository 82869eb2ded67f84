// Package flood puts frames on a network interface, at a pace or as fast as the
// machine can: for tests and measurements of live captures.
//
// A sender in a process of its own leaves the CPU time of the reader's process to
// the reader: a test program calls Serve at the start of TestMain, and Start runs
// that program again as the sender.
package flood

import (
	"slices"

	"larkspur/engine/capture/capturetest"
)

// Frames returns made-up traffic, each lookup answered within the list.
func Frames(o capturetest.TrafficOptions) [][]byte {
	traffic := capturetest.NewTraffic(7, o)
	var frames [][]byte
	for f, more := traffic.Next(); more; f, more = traffic.Next() {
		frames = append(frames, slices.Clone(f.Data))
	}
	return frames
}
