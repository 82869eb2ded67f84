package trial

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"larkspur/appliance/config"
	"larkspur/builtins/dns"
	"larkspur/engine"
	"larkspur/engine/capture"
	"larkspur/engine/passivedns"
	"larkspur/engine/store"
	"larkspur/engine/trigger"
)

// settleEvery is how many messages the memory of a replay takes in at once.
const settleEvery = 1000

// memory is the passive DNS memory of a replay: what the replayed messages say, and
// nothing that the box knows. It lies on a store that is thrown away.
type memory struct {
	*passivedns.Memory
	noted int
	close func() error
}

func openMemory(clock engine.Clock) (*memory, error) {
	dir, err := os.MkdirTemp("", "larkspur-memory-")
	if err != nil {
		return nil, engine.WrapError(engine.Unavailable, err, "replay")
	}
	cache, err := store.OpenCache(filepath.Join(dir, "cache"))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	m := passivedns.New(passivedns.Config{Cache: cache, Clock: clock})
	return &memory{Memory: m, close: func() error { return errors.Join(cache.Close(), os.RemoveAll(dir)) }}, nil
}

// note tells the memory of the next message. Nothing is lost: what finds no room in
// its table is written at once.
func (m *memory) note(msg *capture.Message) error {
	m.Observe("", msg)
	if m.noted++; m.noted%settleEvery != 0 {
		return nil
	}
	m.Settle()
	if m.noted%(100*settleEvery) == 0 {
		return m.Flush()
	}
	return nil
}

// remember adds to an event what the memory knew before its lookup, where some rule
// asks.
func (x *Replay) remember(e *engine.Event, m *capture.Message) {
	if x.memory != nil && x.watched(x.rules.Set).WantsFirstSeen() {
		x.memory.Settle() // a sensor's memory is some milliseconds behind; here time is that of the messages
		trigger.Remember(e, x.memory.Domain(m))
	}
}

// recalled answers dns.history from the memory of the replay, unless something is
// to stand in for it.
type recalled struct {
	results
	history engine.Builtin
	faked   func(*engine.Call) bool
}

const historyName = "dns.history"

func (x *Replay) recalled(from results, faked func(*engine.Call) bool) recalled {
	return recalled{from, dns.Builtin(x.memory.History), faked}
}

func (r recalled) result(ctx context.Context, s engine.Signature, c *engine.Call, n int) (*config.Fake, error) {
	if s.Name != historyName || r.faked(c) {
		return r.results.result(ctx, s, c, n)
	}
	found, err := r.history.Do(ctx, c)
	if err != nil {
		return &config.Fake{Error: engine.AsError(err)}, nil
	}
	return &config.Fake{Result: found.Value}, nil
}

// fakes tells whether the test of a run's rule stands in for dns.history.
func (s *scenes) fakes(c *engine.Call) bool {
	r, err := s.player.state.Run(c.Run)
	if err != nil {
		return true // which tells the error
	}
	t := s.byRule[r.Rule]
	return t != nil && t.fakes[historyName] != nil
}
