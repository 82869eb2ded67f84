package store

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"larkspur/engine"
)

// Cache is the store that may be deleted at any time, also while it is open:
// when browsers were last used, feeds, quotas. It never decides an effect, and is not synced.
// When its folder is gone, or cannot be read when it is opened, it begins anew,
// empty. Safe for concurrent use.
type Cache struct {
	dir string

	mu      sync.RWMutex // guards what follows; held for reading by who uses store
	store   *Store
	mark    os.FileInfo // of a file that lies there as long as the folder does
	renewed time.Time
}

// OpenCache opens the cache store in dir, made if need be.
func OpenCache(dir string) (*Cache, error) {
	c := &Cache{dir: dir}
	err := c.open()
	if err == nil || engine.NoRoom(err) || strings.Contains(err.Error(), "directory lock") {
		return c, err
	}
	slog.Warn("the cache cannot be opened: it begins anew", "dir", dir, "error", err)
	if err := os.RemoveAll(dir); err != nil {
		return nil, engine.WrapError(engine.Unavailable, err, "cache")
	}
	c.renewed = time.Now()
	return c, c.open()
}

func (c *Cache) open() (err error) {
	if c.store, err = open(&reserve{what: "cache store", dir: c.dir, logs: true}, openCacheBytes, false); err != nil {
		return err
	}
	if c.mark, err = os.Stat(c.markPath()); err != nil {
		return engine.WrapError(engine.Unavailable, errors.Join(err, c.store.Close()), "cache")
	}
	return nil
}

func (c *Cache) markPath() string { return filepath.Join(c.dir, badger.KeyRegistryFileName) }

// intact reports whether the folder is still the one that was opened.
func (c *Cache) intact() bool {
	now, err := os.Stat(c.markPath())
	return err == nil && c.store != nil && os.SameFile(now, c.mark)
}

// Renewed tells when the cache began anew, since the process began; false for
// never.
func (c *Cache) Renewed() (time.Time, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.renewed, !c.renewed.IsZero()
}

// use calls fn with the store, of a folder that is there.
func (c *Cache) use(fn func(*Store) error) error {
	for tries := 0; ; tries++ {
		c.mu.RLock()
		if c.intact() {
			err := fn(c.store)
			again := err != nil && tries == 0 && !c.intact() // it vanished in between
			c.mu.RUnlock()
			if !again {
				return err
			}
		} else {
			c.mu.RUnlock()
		}
		if err := c.renew(); err != nil {
			return engine.WrapError(engine.Unavailable, err, "cache")
		}
	}
}

// renew makes an empty cache where one was deleted.
func (c *Cache) renew() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.intact() {
		return nil // another did
	}
	slog.Warn("the folder of the cache was deleted: it begins anew", "dir", c.dir)
	if c.store != nil {
		// Badger writes its last tables before it closes, and waits until it can.
		if err := os.MkdirAll(c.dir, 0o700); err != nil {
			return err
		}
		if err := c.store.Close(); err != nil {
			slog.Info("closing the deleted cache", "error", err) // nothing of it is wanted
		}
		c.store = nil
	}
	if err := os.RemoveAll(c.dir); err != nil {
		return err
	}
	c.renewed = time.Now()
	return c.open()
}

// Close closes the store.
func (c *Cache) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.store == nil {
		return nil
	}
	if !c.intact() { // what is deleted need not be closed well, but let go
		if err := os.MkdirAll(c.dir, 0o700); err != nil {
			return engine.WrapError(engine.Unavailable, err, "cache")
		}
		if err := c.store.Close(); err != nil {
			slog.Info("closing the deleted cache", "error", err)
		}
		return os.RemoveAll(c.dir)
	}
	return c.store.Close()
}

// Get returns a value; false when it is not there or its time is over.
func (c *Cache) Get(key string) (value []byte, found bool, err error) {
	err = c.use(func(s *Store) (err error) {
		value, found, err = s.getCached(key)
		return err
	})
	return value, found, err
}

func (s *Store) getCached(key string) ([]byte, bool, error) {
	s.gate.RLock()
	defer s.gate.RUnlock()
	var value []byte
	err := s.db.View(func(txn *badger.Txn) error {
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
	return c.use(func(s *Store) error { return s.setCached(key, value, ttl) })
}

func (s *Store) setCached(key string, value []byte, ttl time.Duration) error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if err := s.reserve.admit(false); err != nil {
		return err
	}
	err := s.db.Update(func(txn *badger.Txn) error {
		return txn.SetEntry(badger.NewEntry([]byte(key), value).WithTTL(ttl))
	})
	if err != nil {
		return engine.WrapError(engine.Unavailable, err, "cache")
	}
	return nil
}

// ApartBelow is the first byte of keys that Forget looks at. What lies below has
// an owner that forgets for itself: it may be many times as much.
const ApartBelow = 0x20

// Forget drops every value that forget asks for, with all that was deleted or
// overwritten before: when it returns, none of it is in a file of the store. It
// looks at keys from ApartBelow on.
func (c *Cache) Forget(forget func(key string, value []byte) bool) error {
	return c.use(func(s *Store) error { return s.forgetCached(forget) })
}

func (s *Store) forgetCached(forget func(key string, value []byte) bool) error {
	s.gate.Lock()
	defer s.gate.Unlock()
	kept, err := s.keptCached(forget)
	if err == nil {
		err = s.db.DropPrefix(forgettable()...)
	}
	if err == nil {
		err = s.putBack(kept)
	}
	if err != nil {
		return engine.WrapError(engine.Unavailable, err, "cache: forgetting")
	}
	return nil
}

// forgettable are the prefixes of all keys that Forget looks at.
func forgettable() (prefixes [][]byte) {
	for b := ApartBelow; b < 256; b++ {
		prefixes = append(prefixes, []byte{byte(b)})
	}
	return prefixes
}

// keptCached returns what forget does not ask for. Each prefix gets a key, so that
// Badger finds what is deleted there already.
func (s *Store) keptCached(forget func(key string, value []byte) bool) (kept []*badger.Entry, err error) {
	err = s.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Seek([]byte{ApartBelow}); it.Valid(); it.Next() {
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
	if err != nil {
		return nil, err
	}
	return kept, s.db.Update(func(txn *badger.Txn) error {
		for _, prefix := range forgettable() {
			if err := txn.Set(append(prefix, 0), nil); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) putBack(entries []*badger.Entry) error {
	batch := s.db.NewWriteBatch()
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
	return c.use(func(s *Store) error { return s.deleteCached(key) })
}

func (s *Store) deleteCached(key string) error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if err := s.reserve.admit(true); err != nil {
		return err
	}
	err := s.db.Update(func(txn *badger.Txn) error { return txn.Delete([]byte(key)) })
	if err != nil {
		return engine.WrapError(engine.Unavailable, err, "cache")
	}
	return nil
}
