package capture

import "time"

// LiveConfig says how to capture from a network interface.
type LiveConfig struct {
	Interface string
	// Ports are those whose frames the kernel lets through, by default those of
	// DNS, mDNS and LLMNR; at most MaxPorts.
	Ports []uint16
	// RingBytes is the room for frames that are not yet read, DefaultRing by
	// default; it is rounded down to whole blocks, and 1 MiB is the least.
	RingBytes int
	// Plain does without a ring: a system call for each frame.
	Plain bool
}

// Sizes of rings.
const (
	MinRing     = 1 << 20
	DefaultRing = 32 << 20
	MaxRing     = 1 << 30
	// MaxFanout is the most readers that an interface can have.
	MaxFanout = 16
)

// LiveState is how a live capture fares.
type LiveState struct {
	// Away says that there is no interface of the name; the capture waits for one.
	Away bool
	// Down says that the interface is there and off, NoCarrier that it is on and
	// has no link.
	Down, NoCarrier bool
	// RingBytes is the size of the ring; 0 means that there is none.
	RingBytes int
	// NoRing is why there is none although one was wanted.
	NoRing string
	// LastFrame is when the last frame was captured; zero means none so far.
	LastFrame time.Time
}
