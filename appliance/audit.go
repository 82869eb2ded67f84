package appliance

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
)

// auditor exports the ledger and signs it from time to time.
type auditor struct {
	a    *Appliance
	path string // of the newest checkpoint outside the store
}

// Export implements ui.Exporter: JSON lines that larkspur audit verify reads.
// The export is itself a record, which it holds.
func (x *auditor) Export(ctx context.Context, w io.Writer, f engine.AuditFilter, by string) error {
	said := record.Exported{By: by, Incident: f.Incident, Since: f.Since, Until: f.Until}
	if f.Incident != "" {
		if _, err := x.a.state.Incident(f.Incident); err != nil {
			return err
		}
	}
	if err := x.a.note(ctx, record.ExportedKind, said); err != nil {
		return err
	}
	return x.a.state.Export(ctx, w, f)
}

// Checkpoint implements ui.Exporter: it signs what is committed now.
func (x *auditor) Checkpoint() (string, error) {
	text, err := x.a.ledger.Sign()
	if err != nil {
		return "", err
	}
	return string(text), x.keep(text)
}

// keep stores the newest checkpoint beside the ledger, where a restored ledger
// does not bring an older one along.
func (x *auditor) keep(text []byte) error {
	tmp := x.path + ".new"
	if err := os.WriteFile(tmp, text, 0o600); err != nil {
		_ = os.Remove(tmp) // half a file helps nobody; the error is told
		return engine.WrapError(engine.Unavailable, err, "checkpoint")
	}
	if err := os.Rename(tmp, x.path); err != nil {
		return engine.WrapError(engine.Unavailable, err, "checkpoint")
	}
	return nil
}

// checkpointEvery is how often the ledger is signed, when it has grown.
const checkpointEvery = time.Minute

// Run signs on schedule and at the end.
func (x *auditor) Run(ctx context.Context) error {
	signed := uint64(0)
	sign := func() error {
		size := uint64(0)
		for shard := range x.a.ledger.Shards() {
			size += x.a.ledger.Size(uint16(shard))
		}
		if size == signed {
			return nil
		}
		_, err := x.Checkpoint()
		if engine.NoRoom(err) {
			return nil // the store has told of that; signed when there is room
		}
		if err == nil {
			signed = size
		}
		return err
	}
	for {
		err := sign()
		if x.a.clock.Sleep(ctx, checkpointEvery) != nil {
			return sign()
		}
		if err != nil {
			slog.Error("the ledger could not be signed; trying again", "error", err)
		}
	}
}

// noteRotation records that the keys of checkpoints are others than those of the
// last start, which lie beside them. A crash in between notes it twice.
func (a *Appliance) noteRotation(ctx context.Context, path string) error {
	keys, err := ledger.VerifierKeys(path)
	if err != nil {
		return err
	}
	now := strings.Join(keys, "\n") + "\n"
	known, err := os.ReadFile(path + ".known")
	if err == nil && string(known) != now {
		by, _ := os.ReadFile(path + ".by") // who says larkspur audit rotate-key
		said := record.KeyRotated{By: strings.TrimSpace(string(by)), New: keys, Old: strings.Fields(string(known))}
		if err := a.note(ctx, record.KeyRotatedKind, said); err != nil {
			return err
		}
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return engine.WrapError(engine.Unavailable, err, "checkpoint key")
	}
	if string(known) == now {
		return nil
	}
	if err := writeSurely(path+".known", []byte(now)); err != nil {
		return engine.WrapError(engine.Unavailable, err, "checkpoint key")
	}
	return nil
}

func readCheckpoint(dir string) (path string, text []byte) {
	path = filepath.Join(dir, "checkpoint")
	text, err := os.ReadFile(path)
	if err != nil {
		return path, nil // none yet
	}
	return path, text
}

// note appends a record of shard 0: what people and the box itself do.
func (a *Appliance) note(ctx context.Context, kind record.Kind, payload any) error {
	_, err := a.ledger.Append(ctx, 0, ledger.New{Kind: kind, Payload: record.Marshal(payload)})
	return err
}
