package feed

import (
	"context"
	"io"
	"time"

	"larkspur/engine"
	"larkspur/engine/capture"
)

// The kinds of logs.
const (
	Passivedns = "passivedns"
	Dnsmasq    = "dnsmasq"
	Unbound    = "unbound"
	Bind       = "bind"
	Adguard    = "adguard"
)

// Format says how the lines of a log are to be read.
type Format struct {
	Kind string // Passivedns, Dnsmasq, Unbound, Bind or Adguard
	// Zone is that of times that state none; nil is UTC.
	Zone *time.Location
	// Now tells the year where a log leaves it out; nil is the machine's clock.
	Now func() time.Time
	// Fields are the letters of passivedns -f, Separator the text of its -d.
	Fields, Separator string
}

// Check tells what is wrong with the format; an error is of kind Invalid.
func (f Format) Check() error {
	_, err := f.parser()
	return err
}

// parser makes the parser of the format.
func (f Format) parser() (parser, error) {
	s := stamper{f.Zone, f.Now}
	if s.zone == nil {
		s.zone = time.UTC
	}
	if s.now == nil {
		s.now = time.Now
	}
	switch f.Kind {
	case Passivedns:
		return newPassivedns(s, f.Fields, f.Separator)
	case Dnsmasq:
		return &dnsmasq{stamper: s}, nil
	case Unbound:
		return &unbound{s}, nil
	case Bind:
		return &bind{s}, nil
	case Adguard:
		return adguard{}, nil
	}
	return nil, engine.Errorf(engine.Invalid, "log of kind %q: want passivedns, dnsmasq, unbound, bind or adguard", f.Kind)
}

// maker makes messages of lines, one after the other.
type maker struct {
	counts
	parser  parser
	entries []entry // of the last line
	given   int     // of entries
	message capture.Message
}

// take makes entries of a line.
func (m *maker) take(line []byte) {
	m.entries, m.given = m.entries[:0], 0
	if reason := m.parser.line(line, &m.entries); reason != "" {
		m.drop(reason, 1)
	}
	m.drops()
}

// drops counts what the parser gave up.
func (m *maker) drops() {
	if p, ok := m.parser.(interface{ drops() map[string]uint64 }); ok {
		for reason, n := range p.drops() {
			m.drop(reason, n)
		}
	}
}

// flush makes entries of what waits for lines still to come.
func (m *maker) flush() {
	m.entries, m.given = m.entries[:0], 0
	m.parser.flush(&m.entries)
	m.drops()
}

// pop returns the next message of the lines taken in, or nil.
func (m *maker) pop() *capture.Message {
	for m.given < len(m.entries) {
		e := &m.entries[m.given]
		m.given++
		msg, err := e.message(&m.message)
		if err != nil {
			m.drop(badMessage, 1)
			continue
		}
		m.counts.message(msg.Response())
		return msg
	}
	return nil
}

// flushAfter is how long an answer waits for lines still to come.
const flushAfter = 200 * time.Millisecond

// Log gives the messages of a log that grows.
type Log struct {
	maker
	tail    *tail
	cursors Cursors
	key     string
	saved   time.Time
}

// Follow reads a log on from where cursors says that it was read to, from its end
// where they know nothing (or are nil). The file need not be there yet. It is
// followed through rotation by rename and by truncation.
func Follow(path string, f Format, cursors Cursors) (*Log, error) {
	p, err := f.parser()
	if err != nil {
		return nil, err
	}
	l := &Log{maker: maker{parser: p}, cursors: cursors, key: "feed/" + f.Kind + "/" + path, saved: time.Now()}
	l.tail = openTail(path, &l.counts)
	l.tail.resume(loadCursor(cursors, l.key))
	return l, nil
}

// Next returns the next message; it is valid until the following call. It waits
// until ctx ends, whose error it returns then.
func (l *Log) Next(ctx context.Context) (*capture.Message, error) {
	for {
		if m := l.pop(); m != nil {
			return m, nil
		}
		if now := time.Now(); now.Sub(l.saved) >= saveEvery {
			saveCursor(l.cursors, l.key, l.tail)
			l.lag(l.tail.behind())
			l.saved = now
		}
		patience := saveEvery
		if l.parser.pending() {
			patience = flushAfter
		}
		line, err := l.tail.next(ctx, patience)
		switch {
		case err == errQuiet:
			l.flush()
			l.lag(l.tail.behind())
		case err != nil:
			return nil, err
		default:
			l.take(line)
		}
	}
}

// Close saves how far the log was read. No Next may be under way.
func (l *Log) Close() error {
	saveCursor(l.cursors, l.key, l.tail)
	l.tail.close()
	return nil
}

var _ io.Closer = (*Log)(nil)
