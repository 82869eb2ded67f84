package passivedns

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/miekg/dns"

	"larkspur/engine/capture"
)

// Bounds of what waits to be taken in.
const (
	batchBytes = 256 << 10
	maxBatches = 32 // 8 MiB, of which a quiet network needs one
)

// noteBytes is the fixed part of a note: time, lookup, hash of the name, client,
// type, flags, lengths of name and message.
const noteBytes = 4 + 8 + 8 + 16 + 2 + 2 + 2 + 2

// note is what is kept of a message until it is taken in.
type note struct {
	time       uint32
	lookup     uint64 // shared by the messages of a lookup
	nameHash   uint64
	client     [16]byte
	kind       uint16
	flags      uint16
	name, wire []byte // wire is the message, of a response alone
}

// batches hand notes from the goroutines that read messages to the one that takes
// them in.
type batches struct {
	seed  maphash.Seed
	wake  chan struct{}
	asked atomic.Bool // that wake was sent and not yet heard

	mu      sync.Mutex // guards what follows
	current []byte
	full    [][]byte
	free    [][]byte
	made    int
}

func newBatches(seed maphash.Seed) *batches {
	return &batches{seed: seed, wake: make(chan struct{}, 1)}
}

// put copies a message; false when there is no room.
func (b *batches) put(m *capture.Message) bool {
	var wire []byte
	if m.Response() {
		wire = m.Raw
	}
	size := noteBytes + len(m.Name) + len(wire)
	lookup, nameHash := lookupOf(b.seed, m)
	client := m.Client.Addr().As16()
	b.mu.Lock()
	if !b.room(size) {
		b.mu.Unlock()
		return false
	}
	n := b.current
	n = binary.LittleEndian.AppendUint32(n, uint32(m.Time.Unix()))
	n = binary.LittleEndian.AppendUint64(n, lookup)
	n = binary.LittleEndian.AppendUint64(n, nameHash)
	n = append(n, client[:]...)
	n = binary.LittleEndian.AppendUint16(n, m.Type)
	n = binary.LittleEndian.AppendUint16(n, m.Flags)
	n = binary.LittleEndian.AppendUint16(n, uint16(len(m.Name)))
	n = binary.LittleEndian.AppendUint16(n, uint16(len(wire)))
	b.current = append(append(n, m.Name...), wire...)
	b.mu.Unlock()
	if !b.asked.Load() && b.asked.CompareAndSwap(false, true) {
		select {
		case b.wake <- struct{}{}:
		default:
		}
	}
	return true
}

// room makes room for size bytes in the current batch.
func (b *batches) room(size int) bool {
	if cap(b.current)-len(b.current) >= size {
		return true
	}
	var next []byte
	switch n := len(b.free); {
	case n > 0:
		next, b.free = b.free[n-1], b.free[:n-1]
	case b.made < maxBatches:
		b.made++
		next = make([]byte, 0, batchBytes)
	default:
		return false
	}
	if b.current != nil {
		b.full = append(b.full, b.current)
	}
	b.current = next
	return true
}

// take returns the batch that waits longest, nil when none does. Give it back.
func (b *batches) take() []byte {
	b.asked.Store(false)
	b.mu.Lock()
	defer b.mu.Unlock()
	var batch []byte
	switch {
	case len(b.full) > 0:
		batch = b.full[0]
		b.full = append(b.full[:0], b.full[1:]...)
	case len(b.current) > 0:
		batch, b.current = b.current, nil
	}
	return batch
}

func (b *batches) give(batch []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = append(b.free, batch[:0])
}

// behind returns how many bytes wait.
func (b *batches) behind() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.current)
	for _, batch := range b.full {
		n += len(batch)
	}
	return n
}

// next reads the first note of a batch.
func next(batch []byte) (n note, rest []byte) {
	n.time = binary.LittleEndian.Uint32(batch)
	n.lookup = binary.LittleEndian.Uint64(batch[4:])
	n.nameHash = binary.LittleEndian.Uint64(batch[12:])
	n.client = [16]byte(batch[20:])
	n.kind = binary.LittleEndian.Uint16(batch[36:])
	n.flags = binary.LittleEndian.Uint16(batch[38:])
	name := int(binary.LittleEndian.Uint16(batch[40:]))
	wire := int(binary.LittleEndian.Uint16(batch[42:]))
	batch = batch[noteBytes:]
	n.name, n.wire = batch[:name:name], batch[name:name+wire:name+wire]
	return n, batch[name+wire:]
}

func (n *note) response() bool { return n.flags>>15 != 0 }
func (n *note) rcode() uint16  { return n.flags & 0xf }
func (n *note) opcode() uint16 { return n.flags >> 11 & 0xf }
func (n *note) cut() bool      { return n.flags>>9&1 != 0 }

func (n *note) addr() netip.Addr { return netip.AddrFrom16(n.client).Unmap() }

// lookupOf returns a key that query and response of a lookup share, a hash of
// addresses, ports, id and question, and the hash of the name.
func lookupOf(seed maphash.Seed, m *capture.Message) (lookup, name uint64) {
	var fixed [16 + 16 + 4 + 4]byte
	client, server := m.Client.Addr().As16(), m.Server.Addr().As16()
	copy(fixed[:], client[:])
	copy(fixed[16:], server[:])
	binary.LittleEndian.PutUint16(fixed[32:], m.Client.Port())
	binary.LittleEndian.PutUint16(fixed[34:], m.Server.Port())
	binary.LittleEndian.PutUint16(fixed[36:], m.ID)
	binary.LittleEndian.PutUint16(fixed[38:], m.Type)
	name = maphash.Bytes(seed, m.Name) | 1
	return maphash.Bytes(seed, fixed[:])*0x9e3779b97f4a7c15 ^ name, name
}

// concerns reports whether a message is one for the memory: unicast DNS with a
// question of the Internet.
func concerns(m *capture.Message) bool {
	return m.Service == capture.DNS && m.Question && m.Class == dns.ClassINET && len(m.Raw) <= 1<<16-1
}
