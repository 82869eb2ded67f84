package capture

import (
	"context"
	"encoding/hex"
	"time"
)

// maxFrame is the longest frame that is taken from a source: the limit that
// libpcap calls MAXIMUM_SNAPLEN.
const maxFrame = 256 << 10

// A Source yields captured frames, in the order in which they were captured.
type Source interface {
	// Next fills f with the next frame. f.Data belongs to the source and is valid
	// until the following call. At the end of a file it returns io.EOF; when ctx
	// ends, the error of ctx; any other error is final and returned again.
	Next(ctx context.Context, f *Frame) error
	// Stats may be called at any time, from any goroutine.
	Stats() SourceStats
	// Close releases what the source holds. No Next may be under way.
	Close() error
}

// Frame is one frame as it was captured.
type Frame struct {
	Time time.Time // UTC
	Link LinkType
	Data []byte
	// Length is the frame's length on the wire: more than len(Data) when the
	// capture kept only the beginning.
	Length int
	// VLANs holds the tags that are no longer in Data because the network card
	// or the kernel took them off.
	VLANs VLANs
}

// SourceStats counts what a source saw since it was opened.
type SourceStats struct {
	Frames uint64 `json:"frames"`
	Bytes  uint64 `json:"bytes"` // captured bytes of these frames
	// KernelDropped counts frames that the kernel lost before they were read.
	KernelDropped uint64 `json:"kernel_dropped"`
	// RingFrozen counts how often the kernel found the ring full; what it dropped
	// until there was room again is in KernelDropped.
	RingFrozen uint64 `json:"ring_frozen"`
	// RingBroken counts frames that were lost because a block of the ring
	// contradicts itself.
	RingBroken uint64 `json:"ring_broken"`
	// Outages counts how often the interface went away.
	Outages uint64 `json:"outages"`
	// Untimed counts frames whose file says no valid time.
	Untimed uint64 `json:"untimed"`
	// Behind is how many bytes of a log that is followed are still to be read.
	Behind uint64 `json:"behind,omitempty"`
}

// Add adds the counters of o.
func (s *SourceStats) Add(o SourceStats) {
	s.Frames += o.Frames
	s.Bytes += o.Bytes
	s.KernelDropped += o.KernelDropped
	s.RingFrozen += o.RingFrozen
	s.RingBroken += o.RingBroken
	s.Outages += o.Outages
	s.Untimed += o.Untimed
	s.Behind += o.Behind
}

// LinkType says how a frame begins, in the numbers of capture files:
// https://www.tcpdump.org/linktypes.html
type LinkType uint16

// The link types that a Decoder understands.
const (
	LinkNull      LinkType = 0   // BSD loopback: address family in the byte order of the machine
	LinkEthernet  LinkType = 1   // IEEE 802.3
	LinkRawBSD    LinkType = 12  // raw IP, as some BSDs number it
	LinkRawOpen   LinkType = 14  // raw IP, as OpenBSD numbers it
	LinkRaw       LinkType = 101 // raw IP, version 4 or 6
	LinkLoop      LinkType = 108 // OpenBSD loopback: address family in network order
	LinkLinuxSLL  LinkType = 113 // Linux cooked capture
	LinkIPv4      LinkType = 228
	LinkIPv6      LinkType = 229
	LinkLinuxSLL2 LinkType = 276 // Linux cooked capture, version 2
)

// maxVLANs is how many stacked VLAN tags are looked through.
const maxVLANs = 4

// VLANs are the identifiers of stacked VLAN tags, outermost first; zero means no
// tag, or a tag that gives a priority alone.
type VLANs [maxVLANs]uint16

// IDs returns the identifiers that are set, outermost first.
func (v VLANs) IDs() []uint16 {
	var ids []uint16
	for _, id := range v {
		if id != 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// MAC is an Ethernet address; the zero value means that it is not known.
type MAC [6]byte

// IsZero reports whether the address is unknown.
func (a MAC) IsZero() bool { return a == MAC{} }

// isGroup reports whether the address is a multicast or broadcast one.
func (a MAC) isGroup() bool { return a[0]&1 != 0 }

// String returns the address as in "02:00:00:00:00:07", or "" when it is unknown.
func (a MAC) String() string {
	if a.IsZero() {
		return ""
	}
	return string(a.Append(make([]byte, 0, 17)))
}

// Append appends the address as in "02:00:00:00:00:07" to b.
func (a MAC) Append(b []byte) []byte {
	for i := range a {
		if i > 0 {
			b = append(b, ':')
		}
		b = hex.AppendEncode(b, a[i:i+1])
	}
	return b
}
