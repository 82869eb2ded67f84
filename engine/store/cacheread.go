package store

import (
	"errors"
	"time"

	"github.com/dgraph-io/badger/v4"

	"larkspur/engine"
)

// CacheWrites are writes of a Cache that are made together. The zero value is
// empty. Not safe for concurrent use.
type CacheWrites struct {
	entries []*badger.Entry
	deleted [][]byte
}

// Set stages a value, for a time; 0 is for ever. Key and value are the batch's
// from now on.
func (w *CacheWrites) Set(key, value []byte, ttl time.Duration) {
	e := badger.NewEntry(key, value)
	if ttl > 0 {
		e = e.WithTTL(ttl)
	}
	w.entries = append(w.entries, e)
}

// Delete stages a deletion. A key must not be set and deleted in one batch.
func (w *CacheWrites) Delete(key []byte) { w.deleted = append(w.deleted, key) }

// Len returns how many writes are staged.
func (w *CacheWrites) Len() int { return len(w.entries) + len(w.deleted) }

// Reset forgets what is staged, so that the batch can be used again.
func (w *CacheWrites) Reset() {
	clear(w.entries)
	clear(w.deleted)
	w.entries, w.deleted = w.entries[:0], w.deleted[:0]
}

// Write makes writes, many in few commits: a power cut may leave the first of
// them. On a full disk it is refused, but for deletions alone.
func (c *Cache) Write(w *CacheWrites) error {
	if w.Len() == 0 {
		return nil
	}
	return c.use(func(s *Store) error { return s.writeCached(w) })
}

func (s *Store) writeCached(w *CacheWrites) error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if err := s.reserve.admit(len(w.entries) == 0); err != nil {
		return err
	}
	batch := s.db.NewWriteBatch()
	defer batch.Cancel()
	var err error
	for _, e := range w.entries {
		err = errors.Join(err, batch.SetEntry(e))
	}
	for _, key := range w.deleted {
		err = errors.Join(err, batch.Delete(key))
	}
	if err = errors.Join(err, batch.Flush()); err != nil {
		return engine.WrapError(engine.Unavailable, err, "cache")
	}
	return nil
}

// CacheView reads one moment of a Cache. Close it soon: until then a deleted
// cache cannot begin anew, and whoever has a view must wait for nobody who uses
// the Cache, and use it only by the view. Not safe for concurrent use.
type CacheView struct {
	c   *Cache
	txn *badger.Txn
}

// View returns a reader of what is written now.
func (c *Cache) View() (*CacheView, error) {
	for {
		c.mu.RLock()
		if c.intact() {
			return &CacheView{c, c.store.db.NewTransaction(false)}, nil
		}
		c.mu.RUnlock()
		if err := c.renew(); err != nil {
			return nil, engine.WrapError(engine.Unavailable, err, "cache")
		}
	}
}

// Close releases the view.
func (v *CacheView) Close() {
	v.txn.Discard()
	v.c.mu.RUnlock()
}

// Write is Cache.Write; the view goes on to show what was there before.
func (v *CacheView) Write(w *CacheWrites) error {
	if w.Len() == 0 {
		return nil
	}
	return v.c.store.writeCached(w)
}

// Get returns a value, which is the caller's; false when there is none.
func (v *CacheView) Get(key []byte) (value []byte, found bool, err error) {
	defer Guard(&err)
	item, err := v.txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, false, nil
	}
	if err == nil {
		value, err = item.ValueCopy(nil)
	}
	if err != nil {
		return nil, false, engine.WrapError(engine.Unavailable, err, "cache: reading")
	}
	return value, true, nil
}

// Scan calls fn for each key with the prefix, in order, from start on (nil: the
// first), until fn returns false. Key and value are valid during the call only.
func (v *CacheView) Scan(prefix, start []byte, fn func(key, value []byte) bool) (err error) {
	defer Guard(&err)
	opts := badger.DefaultIteratorOptions
	opts.PrefetchValues = false // they lie beside their keys
	opts.Prefix = prefix
	it := v.txn.NewIterator(opts)
	defer it.Close()
	if start == nil {
		start = prefix
	}
	for it.Seek(start); it.Valid(); it.Next() {
		more := true
		err := it.Item().Value(func(value []byte) error {
			more = fn(it.Item().Key(), value)
			return nil
		})
		if err != nil {
			return engine.WrapError(engine.Unavailable, err, "cache: reading")
		}
		if !more {
			return nil
		}
	}
	return nil
}

// Drop drops every key with one of the prefixes, with all former values: when it
// returns, none of them is in a file of the store. Writers wait meanwhile, for 128
// prefixes at a time.
func (c *Cache) Drop(prefixes [][]byte) error {
	return c.use(func(s *Store) error { return s.Purge(prefixes, nil) })
}
