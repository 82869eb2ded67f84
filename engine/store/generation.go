package store

import (
	"encoding/binary"

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
	var list [][]byte
	for c := classGeneration + 1; c <= 0xff; c++ {
		list = append(list, []byte{byte(c)})
	}
	return list
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

// removeAtOnce is how many keys are deleted in one transaction: so few that
// commits beside it do not wait for long.
const removeAtOnce = 4000

// RemoveOther removes the generation that is not in force, if there is one, while
// others read and write. pause is called between two transactions; its error ends
// the removal, which begins anew with the next call. Open views still see what
// they saw.
func (s *Store) RemoveOther(pause func() error) error {
	inForce, other, both, err := s.generations()
	if err != nil || !both {
		return err
	}
	for _, prefix := range other.prefixes() {
		if err := s.removeKeys(prefix, pause); err != nil {
			return err
		}
	}
	return s.putGenerations(true, inForce)
}

func (s *Store) removeKeys(prefix []byte, pause func() error) (err error) {
	view := s.ViewOf(0)
	defer view.Close()
	opts := badger.DefaultIteratorOptions
	opts.PrefetchValues = false
	opts.Prefix = prefix
	it := view.txn.NewIterator(opts)
	defer it.Close()
	batch := NewBatch(view)
	for it.Seek(prefix); it.Valid(); it.Next() {
		batch.Delete(it.Item().KeyCopy(nil))
		if batch.Len() < removeAtOnce {
			continue
		}
		if err := s.CommitReserved(batch); err != nil {
			return err
		}
		if err := pause(); err != nil {
			return err
		}
		batch = NewBatch(view)
	}
	return s.CommitReserved(batch)
}

// DropOther removes the generation that is not in force faster than RemoveOther,
// and frees its space at once. Nothing else may read or write meanwhile.
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

// Compact gives the space of what was deleted back to the disk, while others read
// and write. It takes as long as it takes to write the store once.
func (s *Store) Compact() error {
	if err := s.reserve.admit(false); err != nil {
		return err
	}
	if err := s.db.Flatten(1); err != nil {
		return engine.WrapError(engine.Unavailable, err, "store: compacting")
	}
	return nil
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
