package capture

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// ringBlocks is how many blocks a ring has, if they do not get too small or
	// too large. Few frames make a block of their own, every retireMillis: so many
	// blocks let a reader be away for two seconds, however little comes.
	ringBlocks = 128
	minBlock   = 128 << 10 // a packet that the card put together has up to 64 KiB
	maxBlock   = 1 << 20
	// ringFrame is asked for because the kernel wants a size of frames; in this
	// version of the ring they lie close together, each as long as it is.
	ringFrame = 2048
	// retireMillis is after how long a block that is not full is handed over.
	retireMillis = 20
)

// ring is a receive ring of version TPACKET_V3
// (https://docs.kernel.org/networking/packet_mmap.html): memory that is shared
// with the kernel, in blocks. A block belongs to the kernel until it sets a bit in
// the block's status, then to us until we clear it.
type ring struct {
	memory []byte
	size   int // of a block
	at     int // the block that is read, or is the next to be
	held   bool
	block  block
}

// newRing sets a ring of about so many bytes up at a socket.
func newRing(fd, size int, link LinkType) (*ring, error) {
	request := ringRequest(size)
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return nil, fmt.Errorf("asking for a ring of version 3: %w", err)
	}
	if err := unix.SetsockoptTpacketReq3(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &request); err != nil {
		return nil, fmt.Errorf("asking for a ring of %d KiB: %w", request.Block_size*request.Block_nr>>10, err)
	}
	memory, err := unix.Mmap(fd, 0, int(request.Block_size)*int(request.Block_nr), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mapping the ring: %w", err)
	}
	return &ring{memory: memory, size: int(request.Block_size), block: block{link: link}}, nil
}

// ringRequest divides a size into blocks.
func ringRequest(size int) unix.TpacketReq3 {
	if size == 0 {
		size = DefaultRing
	}
	size = min(max(size, MinRing), MaxRing)
	each := min(max(1<<(bits.Len(uint(size/ringBlocks))-1), minBlock), maxBlock)
	number := size / each
	return unix.TpacketReq3{
		Block_size: uint32(each), Block_nr: uint32(number),
		Frame_size: ringFrame, Frame_nr: uint32(each / ringFrame * number), Retire_blk_tov: retireMillis,
	}
}

// advance gives the block that was read back to the kernel and begins the next
// one, if the kernel is done with it.
func (r *ring) advance(counts *sourceCounts) bool {
	if r.held {
		r.block.count(counts)
		r.status().Store(unix.TP_STATUS_KERNEL)
		r.held = false
		r.at = (r.at + 1) % (len(r.memory) / r.size)
	}
	if r.status().Load()&unix.TP_STATUS_USER == 0 {
		return false
	}
	r.held = true
	r.block.begin(r.memory[r.at*r.size:][:r.size])
	return true
}

// status is the word by which a block changes hands.
func (r *ring) status() *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&r.memory[r.at*r.size+blockStatus]))
}

func (r *ring) close() { unix.Munmap(r.memory) }

// Offsets in the header of a block (tpacket_block_desc, tpacket_hdr_v1).
const (
	blockStatus  = 8
	blockPackets = 12
	blockFirst   = 16
	blockHeader  = 48
)

// Offsets in the header of a packet (tpacket3_hdr).
const (
	packetNext    = 0
	packetSec     = 4
	packetNsec    = 8
	packetSnaplen = 12
	packetLength  = 16
	packetStatus  = 20
	packetMAC     = 24 // where its bytes begin, from the header
	packetTCI     = 32
	packetHeader  = 48
)

// block reads the packets of a block. It believes nothing that would lead out of
// the block, or back.
type block struct {
	link LinkType
	data []byte
	at   int // of the next packet's header
	left int // packets not yet returned

	frames, bytes, broken int
	last                  int64
}

func (b *block) begin(data []byte) {
	*b = block{link: b.link, data: data, last: b.last}
	b.left = min(int(binary.NativeEndian.Uint32(data[blockPackets:])), len(data)/packetHeader)
	b.at = int(binary.NativeEndian.Uint32(data[blockFirst:]))
}

// next fills f with the next frame, which is valid as long as the block is ours,
// or returns false after the last one.
func (b *block) next(f *Frame) bool {
	if b.left == 0 {
		return false
	}
	if b.at < blockHeader || b.at > len(b.data)-packetHeader {
		return b.giveUp()
	}
	h := b.data[b.at:]
	begin := int(binary.NativeEndian.Uint16(h[packetMAC:]))
	size := int(binary.NativeEndian.Uint32(h[packetSnaplen:]))
	if begin < packetHeader || begin+size > len(h) {
		return b.giveUp()
	}
	sec, nsec := binary.NativeEndian.Uint32(h[packetSec:]), binary.NativeEndian.Uint32(h[packetNsec:])
	f.Time = time.Unix(int64(sec), int64(nsec)).UTC()
	f.Link = b.link
	f.Data = h[begin : begin+size : begin+size]
	f.Length = max(int(binary.NativeEndian.Uint32(h[packetLength:])), size)
	f.VLANs = VLANs{}
	if binary.NativeEndian.Uint32(h[packetStatus:])&statusVLANValid != 0 {
		f.VLANs[0] = uint16(binary.NativeEndian.Uint32(h[packetTCI:])) & vlanIDMask
	}
	b.frames++
	b.bytes += size
	b.last = int64(sec)*1e9 + int64(nsec)
	b.left--
	b.at += max(int(binary.NativeEndian.Uint32(h[packetNext:])), packetHeader)
	return true
}

// giveUp leaves the rest of the block.
func (b *block) giveUp() bool {
	b.broken, b.left = b.left, 0
	return false
}

// count adds what the block held to the counters.
func (b *block) count(counts *sourceCounts) {
	counts.broken.Add(uint64(b.broken))
	if b.frames > 0 {
		counts.took(b.frames, b.bytes, b.last)
	}
}
