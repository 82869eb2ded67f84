package store

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"larkspur/engine"
)

// Generation is one making of everything that can be made anew. Keys that begin
// below 0x20 are shared; every other key exists once in each generation, and a
// View shows the keys of one as if there were no other. One generation is in
// force. Another may be built beside it, or be what is left of a former one.
//
// Generation 0 is the one of stores before there were generations: its keys have
// no prefix.
type Generation uint16

// Keys of generations.
const (
	// firstMade is the first byte of keys that a generation holds.
	firstMade = 0x20
	// classGeneration, generation → keys of it.
	classGeneration = 0x20
)

// generationKey holds the number in force and, while keys of another may be
// there, the other's.
func generationKey() []byte { return []byte{0} }

// space is what stands before the keys of a generation.
func (g Generation) space() []byte {
	if g == 0 {
		return nil
	}
	return binary.BigEndian.AppendUint16([]byte{classGeneration}, uint16(g))
}

// prefixes of all keys of a generation.
func (g Generation) prefixes() [][]byte {
	if g > 0 {
		return [][]byte{g.space()}
	}
	return g.classes()
}

// physical is where a key lies.
func physical(space, key []byte) []byte {
	if len(space) == 0 || len(key) == 0 || key[0] < firstMade {
		return key
	}
	k := make([]byte, 0, len(space)+len(key))
	return append(append(k, space...), key...)
}

// loadGeneration reads which generation is in force.
func (s *Store) loadGeneration() error {
	inForce, _, _, err := s.generations()
	if err == nil {
		s.inForce.Store(uint32(inForce))
	}
	return err
}

func (s *Store) generations() (inForce, other Generation, both bool, err error) {
	view := s.ViewOf(0)
	defer view.Close()
	defer Guard(&err)
	b, ok := view.Get(generationKey())
	switch {
	case !ok:
		return 0, 0, false, nil
	case len(b) != 2 && len(b) != 4:
		return 0, 0, false, engine.Errorf(engine.Internal, "store: what says which projections are in force is damaged")
	}
	inForce = Generation(binary.BigEndian.Uint16(b))
	if both = len(b) == 4; both {
		other = Generation(binary.BigEndian.Uint16(b[2:]))
	}
	return inForce, other, both, nil
}

func generationValue(inForce Generation, others ...Generation) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(inForce))
	for _, g := range others {
		b = binary.BigEndian.AppendUint16(b, uint16(g))
	}
	return b
}

// InForce returns the generation that View shows.
func (s *Store) InForce() Generation { return Generation(s.inForce.Load()) }

// BeginGeneration returns a generation without keys, to be built with ViewOf and
// Commit. What was left of another must have been removed: there is never more
// than one besides the one in force.
func (s *Store) BeginGeneration() (Generation, error) {
	inForce, _, both, err := s.generations()
	if err != nil {
		return 0, err
	}
	if both {
		return 0, engine.Errorf(engine.Internal, "store: another generation is there already")
	}
	next := inForce + 1
	if next == 0 {
		next = 1
	}
	return next, s.putGenerations(false, inForce, next)
}

func (s *Store) putGenerations(essential bool, inForce Generation, others ...Generation) error {
	view := s.ViewOf(0)
	defer view.Close()
	b := NewBatch(view)
	b.Set(generationKey(), generationValue(inForce, others...))
	return s.commit(b, essential)
}

// SwitchTo commits a batch and puts the generation g in force, in one
// transaction. Nothing else that writes to the generations may go on meanwhile.
// Views that are open go on showing the former one.
func (s *Store) SwitchTo(g Generation, b *Batch) error {
	b.Set(generationKey(), generationValue(g, s.InForce()))
	if err := s.Commit(b); err != nil {
		if engine.NoRoom(err) {
			return err
		}
		// The outcome is unknown: the disk says.
		if unread := s.loadGeneration(); unread != nil || s.InForce() != g {
			return err
		}
		return nil
	}
	s.inForce.Store(uint32(g))
	return nil
}

// readersTakeAtMost is how long a view of a former generation may stay open when
// that is to be removed.
const readersTakeAtMost = time.Minute

// RemoveOther removes the generation that is not in force, if there is one, while
// others read and write: once nobody has a view of it any more, in turns. Others
// wait for one turn at a time; rest is called between turns and may give them
// room, or end the removal with an error. What is left is removed by the next
// call.
func (s *Store) RemoveOther(rest func() error) error {
	inForce, other, both, err := s.generations()
	if err != nil || !both {
		return err
	}
	began := time.Now()
	for s.readers.of(other) > 0 {
		if time.Since(began) > readersTakeAtMost {
			return engine.Errorf(engine.Unavailable, "store: the former projections are still read after %s", readersTakeAtMost)
		}
		time.Sleep(10 * time.Millisecond)
		if err := rest(); err != nil {
			return err
		}
	}
	for _, prefixes := range s.turns(other) {
		if err := s.drop(prefixes); err != nil {
			return err
		}
		if err := rest(); err != nil {
			return err
		}
	}
	return s.putGenerations(true, inForce)
}

// turnBytes is about how many bytes of tables are removed in one turn: dropping
// keys takes a while whatever there is of them, and longer the more there is.
const turnBytes = 16 << 20

// turns returns prefixes of the keys of a generation, by the turns in which they
// are removed.
func (s *Store) turns(g Generation) (turns [][][]byte) {
	var turn [][]byte
	var bytes uint64
	for _, prefix := range g.classes() {
		if !s.has(prefix) {
			continue
		}
		onDisk, _ := s.db.EstimateSize(prefix)
		turn, bytes = append(turn, prefix), bytes+onDisk
		if bytes > turnBytes {
			turns, turn, bytes = append(turns, turn), nil, 0
		}
	}
	if len(turn) > 0 {
		turns = append(turns, turn)
	}
	return turns
}

// classes are prefixes of all keys of a generation, by the first byte of the key.
func (g Generation) classes() (list [][]byte) {
	for c := firstMade + 1; c <= 0xff; c++ {
		list = append(list, append(g.space(), byte(c)))
	}
	return list
}

// has reports whether there is a key with the prefix.
func (s *Store) has(prefix []byte) bool {
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
	defer it.Close()
	it.Seek(prefix)
	return it.Valid()
}

// readers counts the open views of each generation.
type readers struct {
	mu   sync.Mutex // guards open
	open map[Generation]int
}

func (r *readers) add(g Generation, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		r.open = map[Generation]int{}
	}
	if r.open[g] += n; r.open[g] == 0 {
		delete(r.open, g)
	}
}

func (r *readers) of(g Generation) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open[g]
}

// DropOther removes the generation that is not in force, at once. Nothing else
// may read or write meanwhile.
func (s *Store) DropOther() error {
	inForce, other, both, err := s.generations()
	if err != nil || !both {
		return err
	}
	if err := s.db.DropPrefix(other.prefixes()...); err != nil {
		return engine.WrapError(engine.Unavailable, err, "store: dropping")
	}
	return s.putGenerations(true, inForce)
}

// RoomForGeneration returns nil when the disk has room for the projections once
// more.
func (s *Store) RoomForGeneration() error {
	var bytes uint64
	for _, prefix := range s.InForce().prefixes() {
		onDisk, _ := s.db.EstimateSize(prefix)
		bytes += onDisk
	}
	free, err := available(s.dir)
	if err != nil || free >= int64(bytes)+resumeAbove {
		return err
	}
	return engine.Errorf(engine.Unavailable, "store: the disk of %q has %s free, too little to make the projections a second time", s.dir, inMB(free)).
		WithCause(engine.CauseNoRoom).
		WithHint("free space there until df shows at least %s; the former projections are removed when the new ones are in force", inMB(int64(bytes)+resumeAbove))
}
