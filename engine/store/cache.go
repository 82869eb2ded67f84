package store

import (
	"errors"
	"time"

	"github.com/dgraph-io/badger/v4"

	"larkspur/engine"
)

// Cache is the store that may be deleted at any time: browser sessions, feeds,
// quotas. It never decides an effect, and is not synced. Safe for concurrent use.
type Cache struct{ store *Store }

// OpenCache opens the cache store in dir, made if need be.
func OpenCache(dir string) (*Cache, error) {
	s, err := open(&reserve{what: "cache store", dir: dir, logs: true}, openCacheBytes, false)
	if err != nil {
		return nil, err
	}
	return &Cache{s}, nil
}

// Close closes the store.
func (c *Cache) Close() error { return c.store.Close() }

// Get returns a value; false when it is not there or its time is over.
func (c *Cache) Get(key string) ([]byte, bool, error) {
	c.store.gate.RLock()
	defer c.store.gate.RUnlock()
	var value []byte
	err := c.store.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get([]byte(key))
		if err != nil {
			return err
		}
		value, err = item.ValueCopy(nil)
		return err
	})
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, engine.WrapError(engine.Unavailable, err, "cache")
	}
	return value, true, nil
}

// Set stores a value for a time. Like a commit, it is refused on a full disk.
func (c *Cache) Set(key string, value []byte, ttl time.Duration) error {
	c.store.gate.RLock()
	defer c.store.gate.RUnlock()
	if err := c.store.reserve.admit(false); err != nil {
		return err
	}
	err := c.store.db.Update(func(txn *badger.Txn) error {
		return txn.SetEntry(badger.NewEntry([]byte(key), value).WithTTL(ttl))
	})
	if err != nil {
		return engine.WrapError(engine.Unavailable, err, "cache")
	}
	return nil
}

// Forget drops every value that forget asks for, with all that was deleted or
// overwritten before: when it returns, none of it is in a file of the store.
func (c *Cache) Forget(forget func(key string, value []byte) bool) error {
	c.store.gate.Lock()
	defer c.store.gate.Unlock()
	var kept []*badger.Entry
	err := c.store.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			value, err := it.Item().ValueCopy(nil)
			if err != nil {
				return err
			}
			if key := it.Item().KeyCopy(nil); !forget(string(key), value) {
				e := badger.NewEntry(key, value)
				e.ExpiresAt = it.Item().ExpiresAt()
				kept = append(kept, e)
			}
		}
		return nil
	})
	if err == nil {
		err = c.store.db.DropAll()
	}
	if err == nil {
		err = c.putBack(kept)
	}
	if err != nil {
		return engine.WrapError(engine.Unavailable, err, "cache: forgetting")
	}
	return nil
}

func (c *Cache) putBack(entries []*badger.Entry) error {
	batch := c.store.db.NewWriteBatch()
	defer batch.Cancel()
	for _, e := range entries {
		if err := batch.SetEntry(e); err != nil {
			return err
		}
	}
	return batch.Flush()
}

// Delete removes a value, if it is there: on a full disk too, as long as the log
// has room.
func (c *Cache) Delete(key string) error {
	c.store.gate.RLock()
	defer c.store.gate.RUnlock()
	if err := c.store.reserve.admit(true); err != nil {
		return err
	}
	err := c.store.db.Update(func(txn *badger.Txn) error { return txn.Delete([]byte(key)) })
	if err != nil {
		return engine.WrapError(engine.Unavailable, err, "cache")
	}
	return nil
}
