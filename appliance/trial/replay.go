// Package trial tries rules without touching the world: Replay holds what was
// captured or recorded against the rules of a workspace and tells what would
// have matched and opened.
//
// It uses the real intake, ledger and projector on a store that is thrown away,
// with the events' own time: what it says is what would have happened.
package trial

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/capture"
	"larkspur/engine/intake"
	"larkspur/engine/ledger"
	"larkspur/engine/state"
	"larkspur/engine/store"
	"larkspur/engine/trigger"
	"larkspur/rules"
)

// Rules are what is tried.
type Rules struct {
	Bundle string
	Commit string
	Set    *rules.Set
}

// Match is one line of a replay.
type Match struct {
	Event    engine.Event
	Rule     string
	Incident string // opened, attached, throttled or quiet
	ID       string // of the incident within the replay
	Dedup    engine.Data
}

// Counts sum a replay up.
type Counts struct {
	Events, Matches, Incidents int
	// Skipped are lines that are no events, by reason; Undecodable what a capture
	// held that is no DNS message.
	Skipped, Undecodable map[string]uint64
}

// Bare says that an events file's lines are bare fields, and whose.
type Bare struct {
	Source    string
	Logsource engine.Logsource
}

// Replay is one replay. Open it, feed it files, close it.
type Replay struct {
	rules  Rules
	intake *intake.Intake
	clock  *clock
	tell   func(Match) error
	counts Counts
	close  func() error
}

// clock shows the time of the event in hand.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time                                   { return c.now }
func (c *clock) Sleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// Open makes a replay that calls tell for each match.
func Open(r Rules, evaluator intake.Evaluator, tell func(Match) error) (_ *Replay, err error) {
	dir, err := os.MkdirTemp("", "larkspur-replay-")
	if err != nil {
		return nil, engine.WrapError(engine.Unavailable, err, "replay")
	}
	remove := func() error { return os.RemoveAll(dir) }
	s, err := store.OpenScratch(filepath.Join(dir, "ledger"))
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	x := &Replay{rules: r, clock: &clock{}, tell: tell, counts: Counts{Skipped: map[string]uint64{}, Undecodable: map[string]uint64{}}}
	x.close = func() error { return errors.Join(s.Close(), remove()) }
	l, err := ledger.Open(ledger.Config{Store: s, Projector: state.NewProjector(nil), Clock: x.clock, Node: "replay"})
	if err != nil {
		return nil, errors.Join(err, x.close())
	}
	x.clock.now = time.Now().UTC() // of events that state no time, until one does
	live := &intake.Live{Bundle: r.Bundle, Commit: r.Commit, Set: r.Set}
	x.intake = intake.New(intake.Config{
		Ledger: l, State: state.Open(s, nil, l), Evaluator: evaluator, Clock: x.clock,
		Live: func() *intake.Live { return live },
	})
	return x, nil
}

// Close throws the replay's store away and returns the sums.
func (x *Replay) Close() (Counts, error) { return x.counts, x.close() }

// File replays one file: a capture, or events, one JSON object a line.
func (x *Replay) File(ctx context.Context, path string, bare *Bare) error {
	f, err := os.Open(path)
	if err != nil {
		cause := err
		if at := (*fs.PathError)(nil); errors.As(err, &at) {
			cause = at.Err
		}
		return engine.Errorf(engine.NotFound, "replay %q: %w", path, cause).WithHint("check the path; - reads standard input")
	}
	defer f.Close()
	return x.Read(ctx, path, f, bare)
}

// Read replays what a reader holds; name stands for it in errors and events.
func (x *Replay) Read(ctx context.Context, name string, r io.Reader, bare *Bare) error {
	in := bufio.NewReaderSize(r, 64<<10)
	if mark, err := in.Peek(len(byteOrderMark)); err == nil && string(mark) == byteOrderMark {
		in.Discard(len(byteOrderMark)) // peeked
	}
	first, err := in.Peek(1)
	if err == io.EOF {
		return engine.Errorf(engine.Invalid, "replay %q: the file is empty", name)
	}
	if err != nil {
		return engine.WrapError(engine.Unavailable, err, "replay")
	}
	if strings.ContainsRune("{[ \t\r\n", rune(first[0])) {
		return x.events(ctx, name, in, bare)
	}
	return x.capture(ctx, name, in)
}

// byteOrderMark is what some programs on Windows put before UTF-8.
const byteOrderMark = "\ufeff"

func (x *Replay) capture(ctx context.Context, path string, in io.Reader) error {
	src, err := capture.NewFile(ctx, path, in)
	if err != nil {
		return err
	}
	defer src.Close()
	reader, lookups := capture.NewReader(src), capture.NewLookups()
	defer func() {
		for reason, n := range reader.Stats().Undecodable {
			x.counts.Undecodable[reason] += n
		}
	}()
	for {
		m, err := reader.Next(ctx)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		x.counts.Events++
		lookup := lookups.IsLookup(m)
		if !x.rules.Set.WantsDNS(m.Name) {
			continue
		}
		if err := x.take(ctx, trigger.Lookup(filepath.Base(path), m, lookup)); err != nil {
			return err
		}
	}
}

// take shows one event to the rules.
func (x *Replay) take(ctx context.Context, e engine.Event) error {
	if !x.rules.Set.Matches(&e) {
		return nil
	}
	if e.Time.IsZero() {
		e.Time = x.clock.now
	}
	x.clock.now = e.Time.UTC()
	found, err := x.intake.Take(ctx, e)
	if err != nil {
		return err
	}
	for _, m := range found {
		x.counts.Matches++
		if m.Action == state.Opened {
			x.counts.Incidents++
		}
		if err := x.tell(Match{Event: e, Rule: m.Rule, Incident: m.Action, ID: m.Incident, Dedup: m.Dedup}); err != nil {
			return err
		}
	}
	return nil
}

// maxLineBytes bounds one line of an events file.
const maxLineBytes = 1 << 20

// eventLine is one line of an events file (LANGUAGE section 8).
type eventLine struct {
	Kind      string           `json:"kind"`
	Source    string           `json:"source"`
	Time      time.Time        `json:"time"`
	Logsource engine.Logsource `json:"logsource"`
	Fields    json.RawMessage  `json:"fields"`
}

func (x *Replay) events(ctx context.Context, path string, in io.Reader, bare *Bare) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxLineBytes)
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		e, err := parseEvent(lines.Bytes(), bare)
		if err != nil {
			return engine.Errorf(engine.Invalid, "%s:%d:1: %w", path, n, err).
				WithHint(`want one event a line: {"kind": "webhook", "source": "wazuh", "time": "2026-11-22T08:00:00Z", "fields": {…}}; for bare fields give --source NAME`)
		}
		x.counts.Events++
		if err := x.take(ctx, e); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return engine.Errorf(engine.Invalid, "%s: a line of more than %d bytes, or unreadable: %w", path, maxLineBytes, err)
	}
	return nil
}

// notEvent says what is wrong with a line, without names of our types.
func notEvent(err error) error {
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong) && wrong.Field == "":
		return fmt.Errorf("not an event: got %s, want a JSON object", wrong.Value)
	case errors.As(err, &wrong):
		return fmt.Errorf("%s: got %s", wrong.Field, wrong.Value)
	}
	return fmt.Errorf("not an event: %w", err)
}

func parseEvent(line []byte, bare *Bare) (engine.Event, error) {
	l := eventLine{Fields: line}
	if bare != nil {
		l.Kind, l.Source, l.Logsource = "log", bare.Source, bare.Logsource
	} else if err := json.Unmarshal(line, &l); err != nil {
		return engine.Event{}, notEvent(err)
	}
	if l.Kind == "" || l.Source == "" {
		return engine.Event{}, errors.New("an event wants a kind and a source")
	}
	v, err := engine.DecodeJSON(l.Fields)
	if err != nil {
		return engine.Event{}, err
	}
	fields, ok := v.(map[string]engine.Value)
	if !ok {
		return engine.Event{}, errors.New("fields: want an object")
	}
	if !l.Time.IsZero() {
		l.Time = l.Time.UTC()
	}
	return engine.Event{Kind: l.Kind, Source: l.Source, Time: l.Time, Logsource: l.Logsource, Fields: fields}, nil
}
