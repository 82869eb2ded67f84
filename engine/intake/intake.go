// Package intake turns events into incidents with runs: it records the event,
// asks the rules which match, asks the worker for `where` and `dedup`, and
// offers each match to the shard of its rule and dedup key. What the match then
// does (open, attach, stay quiet, be throttled) is decided in the ledger.
//
// An event that is durable is routed for certain: what stands in the inbox when
// the process ends is routed by the next one.
package intake

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/rules"
)

// Evaluator asks the worker what only Starlark can say. *scripts.Loader and the
// sandbox's pool stand behind it.
type Evaluator interface {
	// Where reports for each item whether its where matches; one that failed does
	// not match, and its error is the rule's last.
	Where(ctx context.Context, bundle string, items []Item) ([]Verdict, error)
}

// Item asks for the where of a rule's trigger, or, with Trigger -1, for its
// dedup key.
type Item struct {
	Rule    string
	Trigger int
	Event   engine.Event
	At      string // file:line:col of the trigger, or of the rule
}

// Verdict answers an Item: Match for a where, Key for a dedup function.
type Verdict struct {
	Match bool
	Key   string // canonical JSON of the key
	// Err is set when the function failed; Died when the worker could not finish
	// it: then a where counts as matched.
	Err  error
	Died bool
	// At is where it was in the script then, if that is known.
	At string
}

// Live is what rules the intake goes by at a moment.
type Live struct {
	Bundle string
	Commit string
	Set    *rules.Set
}

// Config of an Intake.
type Config struct {
	Ledger    *ledger.Ledger
	State     *state.State
	Evaluator Evaluator
	// Live returns the rules in force; nil before the first bundle is live.
	Live  func() *Live
	Clock engine.Clock
}

// Intake is the door for events. Safe for concurrent use.
type Intake struct {
	// Expected is what runs expect: the triggers ask it beside the rules, and it
	// hears of what is committed.
	Expected *Expected

	cfg   Config
	inbox chan engine.Event

	mu     sync.Mutex // guards what follows
	errors map[string]string
	told   map[string]time.Time             // when an incident said last that a rule's function had to be ended
	sick   map[string]record.IncidentOpened // incidents that shall say so, by rule
	left   []string                         // events whose deliverer went away before they fitted the inbox

	waiting atomic.Int64
}

// inboxSize bounds the events that wait in memory to be routed. Beyond it
// Deliver waits: the ledger holds them all.
const inboxSize = 1024

// New returns an intake that routes nothing before Run.
func New(cfg Config) *Intake {
	return &Intake{cfg: cfg, Expected: newExpected(cfg), inbox: make(chan engine.Event, inboxSize), errors: map[string]string{}, told: map[string]time.Time{}, sick: map[string]record.IncidentOpened{}}
}

// Deliver records an event and returns its id once it is on the disk. The same
// Key from the same source twice is one event. Routing follows by itself.
func (in *Intake) Deliver(ctx context.Context, e engine.Event) (string, error) {
	seen, offer, err := seenOf(e)
	if err != nil {
		return "", err
	}
	shard := in.cfg.Ledger.ShardOf(e.Source, offer)
	rec, err := in.cfg.Ledger.Offer(ctx, shard, ledger.New{Kind: record.EventSeenKind, Payload: record.Marshal(seen)})
	if err != nil {
		return "", err
	}
	o, err := record.Unmarshal[record.Outcome](rec.Outcome)
	if err != nil || !o.Applied {
		return o.Event, err
	}
	e.ID = o.Event
	in.waiting.Add(1)
	select {
	case in.inbox <- e:
		return e.ID, nil
	case <-ctx.Done(): // durable: whoever delivered it need not wait
		in.mu.Lock()
		in.left = append(in.left, e.ID)
		in.mu.Unlock()
		return e.ID, nil
	}
}

func seenOf(e engine.Event) (record.EventSeen, string, error) {
	fields, err := engine.Encode(e.Fields)
	if err != nil {
		return record.EventSeen{}, "", err
	}
	if len(fields) > engine.MaxEventBytes {
		return record.EventSeen{}, "", engine.Errorf(engine.Invalid, "event: its fields are %d bytes, at most %d", len(fields), engine.MaxEventBytes).
			WithHint("send less, or send a link to the rest")
	}
	seen := record.EventSeen{Fields: fields, Kind: e.Kind, Logsource: e.Logsource, Source: e.Source, Time: e.Time.UTC()}
	if e.Key != "" {
		seen.Offer = e.Kind + "/" + e.Source + "/" + e.Key
		return seen, seen.Offer, nil
	}
	return seen, e.Time.UTC().Format(time.RFC3339Nano), nil
}

// batchSize is how many events are routed in one turn: their matches share a
// sync of the disk.
const batchSize = 64

// Run routes what an earlier process left, then what is delivered, until ctx
// ends.
func (in *Intake) Run(ctx context.Context) error {
	for _, own := range in.cfg.Ledger.Owned() {
		var left []engine.Event
		if err := in.cfg.State.Inbox(own.Shard, func(e engine.Event) { left = append(left, e) }); err != nil {
			return err
		}
		in.waiting.Add(int64(len(left)))
		for len(left) > 0 && ctx.Err() == nil {
			n := min(len(left), batchSize)
			in.routeSurely(ctx, left[:n])
			left = left[n:]
		}
	}
	for {
		select {
		case e := <-in.inbox:
			in.routeSurely(ctx, in.gather(e))
			if err := in.routeLeft(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// routeLeft routes the events that did not fit the inbox. There are some only
// while it is full, so that a turn of Run is near.
func (in *Intake) routeLeft(ctx context.Context) error {
	in.mu.Lock()
	ids := in.left
	in.left = nil
	in.mu.Unlock()
	for len(ids) > 0 && ctx.Err() == nil {
		n := min(len(ids), batchSize)
		batch := make([]engine.Event, n)
		for i, id := range ids[:n] {
			e, err := in.cfg.State.Event(id)
			if err != nil {
				return err
			}
			batch[i] = e
		}
		in.routeSurely(ctx, batch)
		ids = ids[n:]
	}
	return nil
}

// gather takes what else waits, up to a batch.
func (in *Intake) gather(first engine.Event) []engine.Event {
	batch := []engine.Event{first}
	for len(batch) < batchSize {
		select {
		case e := <-in.inbox:
			batch = append(batch, e)
		default:
			return batch
		}
	}
	return batch
}

// Match is what one event did to one rule.
type Match struct {
	Rule     string
	Dedup    engine.Data // the key, as JSON; empty without dedup
	Action   string      // opened, attached, quiet or throttled
	Incident string
}

// Take records an event, routes it at once, and returns what matched: for
// trials, where one event is looked at after the other. Run must not be running.
func (in *Intake) Take(ctx context.Context, e engine.Event) ([]Match, error) {
	seen, offer, err := seenOf(e)
	if err != nil {
		return nil, err
	}
	rec, err := in.cfg.Ledger.Offer(ctx, in.cfg.Ledger.ShardOf(e.Source, offer), ledger.New{Kind: record.EventSeenKind, Payload: record.Marshal(seen)})
	if err != nil {
		return nil, err
	}
	o, err := record.Unmarshal[record.Outcome](rec.Outcome)
	if err != nil || !o.Applied {
		return nil, err
	}
	e.ID = o.Event
	records, err := in.route(ctx, []engine.Event{e})
	if err != nil {
		return nil, err
	}
	return matches(records)
}

func matches(records []ledger.Record) (list []Match, err error) {
	for _, r := range records {
		if r.Header.Kind != record.EventMatchedKind {
			continue
		}
		p, err1 := record.Unmarshal[record.EventMatched](r.Payload)
		o, err2 := record.Unmarshal[record.Outcome](r.Outcome)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		m := Match{Rule: p.Rule, Action: o.Action, Incident: o.Incident}
		if p.DedupSet {
			m.Dedup = engine.Data(p.Dedup)
		}
		list = append(list, m)
	}
	return list, nil
}

// Waiting returns how many events are recorded and not yet routed.
func (in *Intake) Waiting() int { return int(in.waiting.Load()) }

// LastError returns the last error of a rule's where or dedup, "" for none.
func (in *Intake) LastError(rule string) string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.errors[rule]
}

func (in *Intake) fail(rule string, v Verdict) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.errors[rule] = "the worker died"
	if v.Err != nil {
		in.errors[rule] = v.Err.Error()
	}
}

// pauseAfterFault is the pause before an event is routed again after a fault of
// the disk or the worker.
const pauseAfterFault = time.Second

func (in *Intake) routeSurely(ctx context.Context, batch []engine.Event) {
	for ctx.Err() == nil {
		_, err := in.route(ctx, batch)
		if err == nil {
			in.waiting.Add(-int64(len(batch)))
			return
		}
		if !engine.NoRoom(err) { // the store has told of that, once
			slog.Error("events could not be routed; trying again", "events", len(batch), "first", batch[0].ID, "error", err)
		}
		if in.cfg.Clock.Sleep(ctx, pauseAfterFault) != nil {
			return
		}
	}
}

// route takes events to what they match, and tells of functions of rules that had
// to be ended. Done twice, the second has no effect: matches first, the entry
// last, in every shard.
func (in *Intake) route(ctx context.Context, batch []engine.Event) ([]ledger.Record, error) {
	done, err := in.match(ctx, batch)
	if err == nil {
		err = in.tellSick(ctx)
	}
	return done, err
}

// match offers the matches of events and closes their inbox entries.
func (in *Intake) match(ctx context.Context, batch []engine.Event) ([]ledger.Record, error) {
	live := in.cfg.Live()
	if live == nil {
		return nil, engine.Errorf(engine.Unavailable, "no rules are live yet")
	}
	taken, err := in.expect(ctx, batch)
	if err != nil {
		return nil, err
	}
	hits, err := in.matching(ctx, live, batch, taken)
	if err != nil {
		return nil, err
	}
	if err := in.dedup(ctx, live, hits); err != nil {
		return nil, err
	}
	matches, ends := map[uint16][]ledger.New{}, map[uint16][]ledger.New{}
	for i, e := range batch {
		routed := record.EventRouted{Event: e.ID}
		for _, h := range hits[i] {
			m, err := h.match(live)
			if err != nil {
				return nil, err
			}
			shard := in.cfg.Ledger.ShardOf(m.Rule, m.Dedup)
			matches[shard] = append(matches[shard], ledger.New{Kind: record.EventMatchedKind, Payload: record.Marshal(m)})
			routed.Rules = append(routed.Rules, m.Rule)
		}
		home, _, _ := engine.ParseID('e', e.ID)
		ends[home] = append(ends[home], ledger.New{Kind: record.EventRoutedKind, Payload: record.Marshal(routed)})
	}
	if in.cfg.Ledger.Shards() == 1 { // one sync for both
		return in.appendAll(ctx, map[uint16][]ledger.New{0: append(matches[0], ends[0]...)})
	}
	done, err := in.appendAll(ctx, matches)
	if err != nil {
		return nil, err
	}
	_, err = in.appendAll(ctx, ends)
	return done, err
}

// frameBytes is about what one frame of matches carries.
const frameBytes = 128 << 10

func (in *Intake) appendAll(ctx context.Context, byShard map[uint16][]ledger.New) (done []ledger.Record, err error) {
	for shard, records := range byShard {
		for len(records) > 0 {
			n, size := 0, 0
			for n < len(records) && (n == 0 || size+len(records[n].Payload) <= frameBytes) {
				size += len(records[n].Payload)
				n++
			}
			written, err := in.cfg.Ledger.Append(ctx, shard, records[:n]...)
			if err != nil {
				return nil, err
			}
			done = append(done, written...)
			records = records[n:]
		}
	}
	return done, nil
}
