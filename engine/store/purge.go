package store

import (
	"encoding/binary"

	"github.com/dgraph-io/badger/v4"

	"larkspur/engine"
)

// What is deleted or overwritten stays in Badger's files until a compaction comes
// by. Where it must be gone, this file drops keys: Badger then writes memtables
// and every table that holds one of them anew, without any version of it. It
// refuses commits meanwhile, and reads wait, so that only a few keys are dropped
// at a time.

// purgeAtOnce is how many keys are dropped in one turn: Badger compares each key
// of the tables that it writes anew with each of them.
const purgeAtOnce = 128

// Purge drops shared keys (below 0x20) that are there, with all their former
// values: when it returns they are in no file but those that an open View still
// reads. Overwrite what is to go, do not delete it: Badger does not look for keys
// that are deleted already. Writers wait for one turn at a time; rest is called
// between turns and may give them room, or end it with an error.
func (s *Store) Purge(keys [][]byte, rest func(done int) error) error {
	for done := 0; done < len(keys); {
		next := min(done+purgeAtOnce, len(keys))
		if err := s.drop(keys[done:next]); err != nil {
			return err
		}
		if done = next; done < len(keys) && rest != nil {
			if err := rest(done); err != nil {
				return err
			}
		}
	}
	return nil
}

// PurgeFormer drops what generations before the one in force have left in the
// files.
func (s *Store) PurgeFormer() error {
	_, _, both, err := s.generations()
	if err == nil && both {
		err = engine.Errorf(engine.Conflict, "store: a former generation is not removed yet")
	}
	former := s.InForce().former()
	if err != nil || len(former) == 0 {
		return err
	}
	if err := s.mark(former); err != nil {
		return err
	}
	return s.drop(former)
}

// former returns prefixes of all keys that generations before g may have had.
func (g Generation) former() [][]byte {
	if g == 0 {
		return nil
	}
	list := Generation(0).prefixes()
	high, low := byte(g>>8), byte(g)
	for b := range high {
		list = append(list, []byte{classGeneration, b})
	}
	for b := range low {
		list = append(list, binary.BigEndian.AppendUint16([]byte{classGeneration}, uint16(high)<<8|uint16(b)))
	}
	return list
}

// mark writes a key below each prefix, so that Badger finds what is deleted.
func (s *Store) mark(prefixes [][]byte) error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if err := s.reserve.admit(false); err != nil {
		return err
	}
	err := s.db.Update(func(txn *badger.Txn) error {
		for _, prefix := range prefixes {
			if err := txn.Set(append(prefix[:len(prefix):len(prefix)], 0), nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return engine.WrapError(engine.Unavailable, err, "store: dropping")
	}
	return nil
}

// drop drops every key with one of the prefixes.
func (s *Store) drop(prefixes [][]byte) error {
	s.gate.Lock()
	defer s.gate.Unlock()
	if err := s.reserve.admit(false); err != nil {
		return err
	}
	if err := s.db.DropPrefix(prefixes...); err != nil {
		return engine.WrapError(engine.Unavailable, err, "store: dropping")
	}
	// Badger only logs that it could not compact the newest tables.
	if levels := s.db.Levels(); len(levels) > 0 && levels[0].NumTables > 0 {
		return engine.Errorf(engine.Unavailable, "store: what was dropped is still in %d tables that could not be compacted", levels[0].NumTables).
			WithHint("the log says why; it is tried again at the next start")
	}
	return nil
}
