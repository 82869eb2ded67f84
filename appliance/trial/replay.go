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
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"larkspur/engine"
	"larkspur/engine/feed"
	"larkspur/engine/intake"
	"larkspur/engine/state"
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
	// Skipped are the lines of events files that are no events, by reason.
	Skipped map[string]Skipped
	// Undecodable is what captures held that is no DNS message, by reason.
	Undecodable map[string]uint64
}

// Bare says that an events file's lines are bare fields, and whose.
type Bare struct {
	Source    string
	Logsource engine.Logsource
}

// Replay is one replay. Open it, feed it files, close it.
type Replay struct {
	*stand
	// Format says what files hold that are not captures, where Kind is not "", and
	// how logs are to be read; without a Kind it is recognised by content.
	Format feed.Format
	rules  Rules
	tell   func(Match) error
	memory *memory // nil: nobody asks it
	player *player // nil: no playbook runs
	scenes *scenes // nil: an answers file answers
	counts Counts
}

// Open makes a replay that calls tell for each match. With playbooks it carries
// their runs; nil leaves incidents open.
func Open(ctx context.Context, r Rules, evaluator intake.Evaluator, tell func(Match) error, playbooks *Playbooks) (*Replay, error) {
	// The present time is that of events that state none, until one does.
	s, err := openStand(r, func(engine.Clock) intake.Evaluator { return evaluator }, time.Now().UTC())
	if err != nil {
		return nil, err
	}
	x := &Replay{stand: s, rules: r, tell: tell, counts: Counts{Skipped: map[string]Skipped{}, Undecodable: map[string]uint64{}}}
	if playbooks != nil || r.Set != nil && r.Set.WantsFirstSeen() {
		x.memory, err = openMemory(x.clock)
	}
	if playbooks != nil && err == nil {
		err = x.carry(ctx, *playbooks)
	}
	if err != nil {
		return nil, errors.Join(err, x.closeStores())
	}
	return x, nil
}

// carry makes the replay carry runs.
func (x *Replay) carry(ctx context.Context, p Playbooks) (err error) {
	if p.Tests == nil {
		x.player = newPlayer(p, x.stand, newFakes(x.recalled(fileFakes(p.Answers.Fakes), func(*engine.Call) bool {
			_, faked := p.Answers.Fakes[historyName]
			return faked
		})))
		x.player.people.left = slices.Clone(p.Answers.People)
		return nil
	}
	b := &Bench{Tests: p.Pool, Runs: p.Pool, Config: p.Config, Rules: x.rules, Version: p.Version}
	if x.scenes, err = openScenes(ctx, b, x.stand, p.Tests); err != nil {
		return err
	}
	x.player = newPlayer(p, x.stand, newFakes(x.recalled(x.scenes, x.scenes.fakes)))
	x.player.scenes, x.scenes.player = x.scenes, x.player
	return nil
}

// Finish lets time pass until no run goes on: waits end, changes expire. It
// returns what of the answers was not asked for.
func (x *Replay) Finish(ctx context.Context) (unused []string, err error) {
	if x.player == nil {
		return nil, nil
	}
	if err := x.player.until(ctx, time.Time{}); err != nil {
		return nil, err
	}
	return x.player.unused(), x.player.waiting()
}

// Close throws the replay's store away and returns the sums.
func (x *Replay) Close() (Counts, error) {
	if x.scenes != nil {
		x.scenes.close()
	}
	return x.counts, x.closeStores()
}

func (x *Replay) closeStores() error {
	err := x.close()
	if x.memory != nil {
		err = errors.Join(err, x.memory.close())
	}
	return err
}

// File replays one file: a capture, the log of a resolver, dnstap, or events, one
// JSON object a line; bare or compressed with gzip or zstd.
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
	if info, err := f.Stat(); err == nil { // the year of logs that leave it out
		x.Format.Now = info.ModTime
	}
	return x.Read(ctx, path, f, bare)
}

// Read replays what a reader holds; name stands for it in errors and events.
func (x *Replay) Read(ctx context.Context, name string, r io.Reader, bare *Bare) error {
	in := bufio.NewReaderSize(r, 64<<10)
	if mark, err := in.Peek(len(byteOrderMark)); err == nil && string(mark) == byteOrderMark {
		in.Discard(len(byteOrderMark)) // peeked
	}
	in, done, err := feed.Decompress(in)
	if err != nil {
		return engine.Errorf(engine.Invalid, "replay %q: %w", name, err)
	}
	defer done()
	first, err := in.Peek(1)
	if err == io.EOF {
		return engine.Errorf(engine.Invalid, "replay %q: the file is empty", name)
	}
	if err != nil {
		return engine.WrapError(engine.Unavailable, err, "replay")
	}
	if kind := x.feedIn(in); kind != "" && bare == nil {
		return x.feed(ctx, name, kind, in)
	}
	if first[0] == '{' || holdsEvents(in) {
		return x.events(ctx, name, in, bare)
	}
	return x.capture(ctx, name, in)
}

// holdsEvents reports whether a reader begins with text of which a line begins
// an object, not necessarily the first. Every kind of capture has a zero byte
// early, and none of text has.
func holdsEvents(in *bufio.Reader) bool {
	head, _ := in.Peek(4 << 10) // less is there, or the next read tells
	if bytes.IndexByte(head, 0) >= 0 {
		return false
	}
	for line := range bytes.Lines(head) {
		if line = bytes.TrimSpace(line); len(line) > 0 && (line[0] == '{' || line[0] == '[') {
			return true
		}
	}
	return false
}

// byteOrderMark is what some programs on Windows put before UTF-8.
const byteOrderMark = "\ufeff"

// take shows one event to the rules.
func (x *Replay) take(ctx context.Context, e engine.Event) error {
	if !x.watched(x.rules.Set).Matches(&e) {
		return nil
	}
	if e.Time.IsZero() {
		e.Time = x.clock.now
	}
	if err := x.goTo(ctx, e.Time.UTC()); err != nil {
		return err
	}
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
	if x.player == nil {
		return nil
	}
	return x.player.until(ctx, x.clock.now)
}

// goTo moves the clock to an event's time. Once a run has begun it does not go
// back: an event that is late counts as of now.
func (x *Replay) goTo(ctx context.Context, t time.Time) error {
	if x.player != nil && x.player.began {
		return x.player.until(ctx, t)
	}
	x.clock.now = t
	return nil
}
