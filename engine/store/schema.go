package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"larkspur/engine"
)

// Schema is the form in which this program keeps a ledger store. 1 had its
// projections without generations, 2 had no counters of incidents by minute.
const Schema = 3

// schemaName is the file of a store's folder that holds the number of its schema,
// so that a program can tell before it touches anything. A store without it has
// schema 1.
const schemaName = "schema"

// schemaOf returns the schema of the store in dir, 0 when there is none.
func schemaOf(dir string) (int, error) {
	b, err := os.ReadFile(filepath.Join(dir, schemaName))
	switch {
	case errors.Is(err, os.ErrNotExist):
		if sizeOf(filepath.Join(dir, "MANIFEST")) > 0 {
			return 1, nil
		}
		return 0, nil
	case err != nil:
		return 0, engine.WrapError(engine.Unavailable, err, "store")
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || n < 1 {
		return 0, engine.Errorf(engine.Internal, "store %q: its file %q holds %.20q, want the number of a schema", dir, schemaName, b)
	}
	return n, nil
}

func schemaText() []byte { return fmt.Appendf(nil, "%d\n", Schema) }

// TooNew is the error of a store of a schema that this program does not know.
func TooNew(what string, schema int) *engine.Error {
	return engine.Errorf(engine.Invalid, "%s: it has schema %d, and this program knows schemas up to %d; nothing was changed", what, schema, Schema).
		WithHint("run the newer larkspur that wrote it; to go back to this one: larkspur rollback puts back what an upgrade kept")
}

// refuseNewer refuses a store that a newer program wrote.
func refuseNewer(dir string) error {
	schema, err := schemaOf(dir)
	if err == nil && schema > Schema {
		return TooNew(fmt.Sprintf("store %q", dir), schema)
	}
	return err
}

// upgrade makes the folder of a store ready for this program: one of an older
// schema is kept as a snapshot before anything is changed.
type upgrade struct {
	dir string
	now time.Time
	// reached is told of each step, which it may end with an error: for tests that
	// pull the plug.
	reached func(step string) error
}

func upgradeNow(dir string) *upgrade {
	return &upgrade{dir: dir, now: time.Now().UTC(), reached: func(string) error { return nil }}
}

func (u *upgrade) run() error {
	if err := os.MkdirAll(u.dir, 0o700); err != nil {
		return engine.WrapError(engine.Unavailable, err, "store")
	}
	unlock, err := lock(u.dir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := removeParts(u.dir); err != nil {
		return engine.WrapError(engine.Unavailable, err, "snapshots: removing an unfinished one")
	}
	schema, err := schemaOf(u.dir)
	if err != nil || schema == Schema {
		return err
	}
	if schema > 0 {
		snapshot, err := u.keep(schema, fmt.Sprintf("before the upgrade to schema %d", Schema))
		if err != nil {
			return engine.WrapError(engine.Unavailable, err, "keeping the store as it is before it is upgraded").WithHint("%s", hintOf(err, "nothing was changed; start again"))
		}
		slog.Info("the store has an older schema: it is kept as it is, then upgraded",
			"schema", schema, "to", Schema, "snapshot", snapshot.Name, "back", "larkspur rollback to "+snapshot.Name)
	}
	if err := u.reached("schema"); err != nil {
		return err
	}
	if err := writeSynced(filepath.Join(u.dir, schemaName), schemaText()); err != nil {
		return engine.WrapError(engine.Unavailable, err, "store")
	}
	return nil
}

func hintOf(err error, standard string) string {
	if hint := engine.AsError(err).Hint; hint != "" {
		return hint
	}
	return standard
}

// lock holds the lock of a store's folder that Badger takes, so that no other
// process has it open.
func lock(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, engine.WrapError(engine.Unavailable, err, "store")
	}
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(openError(dir, fmt.Errorf("Cannot acquire directory lock: %w", err)), d.Close())
	}
	return func() { _ = d.Close() }, nil // closing releases it
}

// writeSynced writes a file that is whole on the disk, or not there.
func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
