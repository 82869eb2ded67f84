package trial

import (
	"bufio"
	"context"
	"io"
	"path/filepath"

	"larkspur/engine"
	"larkspur/engine/capture"
	"larkspur/engine/feed"
	"larkspur/engine/trigger"
)

// headBytes is by how much of a file its kind is recognised.
const headBytes = 16 << 10

// feedIn tells of which feed a reader's content is: as x.Format says, else by its
// beginning; "" is none.
func (x *Replay) feedIn(in *bufio.Reader) string {
	if x.Format.Kind != "" {
		return x.Format.Kind
	}
	head, _ := in.Peek(headBytes) // less is there, or the next read tells
	return feed.Recognise(head)
}

// feed replays the log of a resolver, or dnstap.
func (x *Replay) feed(ctx context.Context, name, kind string, in *bufio.Reader) error {
	format := x.Format
	format.Kind = kind
	file, err := feed.Read(name, in, format)
	if err != nil {
		return err
	}
	err = x.messages(ctx, name, file)
	stats := file.Stats()
	x.counts.Events += int(stats.Messages)
	for reason, n := range stats.Undecodable {
		x.counts.Undecodable[reason] += n
	}
	return err
}

// messages shows messages to the rules, one after the other.
func (x *Replay) messages(ctx context.Context, name string, from trigger.Messages) error {
	lookups := capture.NewLookups()
	var seen engine.Sighting
	for {
		m, err := from.Next(ctx)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := x.lookup(ctx, filepath.Base(name), m, lookups.Pair(m), &seen); err != nil {
			return err
		}
	}
}

// lookup shows one message to the rules.
func (x *Replay) lookup(ctx context.Context, source string, m *capture.Message, pair capture.Pairing, seen *engine.Sighting) error {
	if x.memory != nil {
		if err := x.memory.note(m); err != nil {
			return err
		}
	}
	m.Sight(seen)
	seen.Paired = !pair.Lookup
	if !x.watched(x.rules.Set).WantsDNS(seen) {
		return nil
	}
	e := trigger.Lookup(source, m, pair)
	x.remember(&e, m)
	return x.take(ctx, e)
}
