package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// Upgrade is what a ledger was before a newer program took it over.
type Upgrade struct {
	From    int       `json:"from"`    // schema
	Records uint64    `json:"records"` // of all shards
	At      time.Time `json:"at"`
}

// formatMeta writes the description: the number of the schema, a space, JSON. The
// first programs wrote JSON alone: they cannot read this, and so refuse a store
// that they would harm.
func formatMeta(m meta) []byte {
	return append(fmt.Appendf(nil, "%d ", store.Schema), record.Marshal(m)...)
}

func (l *Ledger) parseMeta(b []byte) (err error) {
	l.schema = 1
	text := b
	if number, rest, ok := bytes.Cut(b, []byte(" ")); ok && b[0] != '{' {
		if l.schema, err = strconv.Atoi(string(number)); err != nil {
			return engine.WrapError(engine.Internal, err, "ledger: its description is damaged")
		}
		text = rest
	}
	if l.schema > store.Schema {
		return store.TooNew("ledger", l.schema)
	}
	if err := json.Unmarshal(text, &l.meta); err != nil {
		return engine.WrapError(engine.Internal, err, "ledger: its description is damaged")
	}
	return nil
}

// upgrade makes of an older schema what this program wants. First the ledger is
// marked, so that older programs refuse it; then its projections are made anew.
// An upgrade that was interrupted begins anew.
func (l *Ledger) upgrade() error {
	if l.schema < store.Schema {
		l.meta.Remake = true
		l.meta.Upgrades = append(l.meta.Upgrades, Upgrade{From: l.schema, Records: l.records(), At: l.cfg.Clock.Now().UTC().Truncate(time.Second)})
		if err := l.storeMeta(); err != nil {
			return notUpgraded(err)
		}
		l.schema = store.Schema
	}
	if !l.meta.Remake {
		return nil
	}
	slog.Info("upgrading: the projections are made anew", "schema", store.Schema, "records", l.records())
	if err := l.Reproject(context.Background(), reporter()); err != nil {
		return notUpgraded(err)
	}
	l.meta.Remake = false
	if err := l.storeMeta(); err != nil {
		return notUpgraded(err)
	}
	return nil
}

func notUpgraded(err error) error {
	e := engine.WrapError(engine.KindOf(err), err, "upgrading the ledger")
	hint := "start again, the upgrade begins anew; or go back: larkspur rollback lists what was kept before it"
	if e.Hint != "" {
		hint = e.Hint + "; then " + hint
	}
	return e.WithHint("%s", hint)
}

// reporter tells the log how far an upgrade is, now and then.
func reporter() func(done, total uint64) {
	const every = 5 * time.Second
	told := time.Now()
	return func(done, total uint64) {
		if time.Since(told) >= every {
			told = time.Now()
			slog.Info("upgrading", "records", done, "of", total)
		}
	}
}

// records counts those of all shards.
func (l *Ledger) records() (n uint64) {
	for _, t := range l.snapshot() {
		n += t.size
	}
	return n
}

// Summary is what a ledger holds, read without opening it.
type Summary struct {
	Records  uint64
	Last     time.Time // of the newest record
	Upgrades []Upgrade
}

// Summarize reads what the ledger in a store holds, and changes nothing.
func Summarize(s *store.Store) (sum Summary, err error) {
	defer store.Guard(&err)
	l := &Ledger{cfg: Config{Store: s}}
	view := s.View()
	defer view.Close()
	b, ok := view.Get(key(classMeta, noShard))
	if !ok {
		return sum, nil
	}
	if err := l.parseMeta(b); err != nil {
		return sum, err
	}
	heads, _, err := l.loadHeads()
	for _, h := range heads {
		sum.Records += h.tree.size
		if h.last.After(sum.Last) {
			sum.Last = h.last
		}
	}
	sum.Upgrades = l.meta.Upgrades
	return sum, err
}
