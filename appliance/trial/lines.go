package trial

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"larkspur/engine"
)

// maxLineBytes bounds one line of an events file.
const maxLineBytes = 1 << 20

// Skipped are lines that one reason kept from being events.
type Skipped struct {
	Lines uint64
	// First is where the first one is, "FILE:LINE", and Why what is wrong there.
	First, Why string
}

// Reasons for which a line is skipped.
const (
	notJSON   = "not a JSON object"
	notOurs   = "no event of an events file"
	notFields = "fields that are no object of plain values"
	tooLong   = "longer than 1 MiB"
)

// eventLine is one line of an events file (LANGUAGE section 8).
type eventLine struct {
	Kind      string           `json:"kind"`
	Source    string           `json:"source"`
	Time      time.Time        `json:"time"`
	Logsource engine.Logsource `json:"logsource"`
	Fields    json.RawMessage  `json:"fields"`
}

// events replays the lines of an events file. A line that is no event is
// counted and skipped: one bad line must not hide what the others would do. A
// file without one event is an error.
func (x *Replay) events(ctx context.Context, path string, in *bufio.Reader, bare *Bare) error {
	taken := false
	var first error
	for n := 1; ; n++ {
		line, err := readLine(in)
		if err == io.EOF {
			break
		}
		if err != nil && err != errTooLong {
			return engine.WrapError(engine.Unavailable, err, "replay "+path)
		}
		if len(bytes.TrimSpace(line)) == 0 && err == nil {
			continue
		}
		e, reason, err := parseLine(line, err, bare)
		if err != nil {
			at := fmt.Sprintf("%s:%d", path, n)
			x.skip(reason, at, err)
			if first == nil {
				first = engine.Errorf(engine.Invalid, "%s:1: no line of the file is an event: %w", at, err)
			}
			continue
		}
		taken = true
		x.counts.Events++
		if err := x.take(ctx, e); err != nil {
			return err
		}
	}
	if !taken && first != nil {
		return engine.AsError(first).WithHint(`want one event a line: {"kind": "webhook", "source": "wazuh", "time": "2026-11-22T08:00:00Z", "fields": {…}}; for bare fields give --source NAME`)
	}
	return nil
}

func (x *Replay) skip(reason, at string, why error) {
	s, known := x.counts.Skipped[reason]
	if !known {
		s.First, s.Why = at, why.Error()
	}
	s.Lines++
	x.counts.Skipped[reason] = s
}

var errTooLong = errors.New("the line has more than 1 MiB")

// readLine returns the next line; errTooLong for one over maxLineBytes, which is
// passed over, and io.EOF behind the last one.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	read, over := false, false
	for {
		part, err := in.ReadSlice('\n')
		read = read || len(part) > 0
		if over = over || len(line)+len(part) > maxLineBytes; !over {
			line = append(line, part...)
		}
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case err != nil && (err != io.EOF || !read):
			return nil, err
		case over:
			return nil, errTooLong
		}
		return line, nil
	}
}

// parseLine reads one line; reason is what kind of mistake err is.
func parseLine(line []byte, broken error, bare *Bare) (e engine.Event, reason string, err error) {
	if broken != nil {
		return e, tooLong, broken
	}
	l := eventLine{Fields: line}
	if bare != nil {
		l.Kind, l.Source, l.Logsource = "log", bare.Source, bare.Logsource
	} else if err := json.Unmarshal(line, &l); err != nil {
		reason, err = notEvent(err)
		return e, reason, err
	}
	if l.Kind == "" || l.Source == "" {
		return e, notOurs, errors.New("an event wants a kind and a source")
	}
	v, err := engine.DecodeJSON(l.Fields)
	if err != nil {
		if bare != nil {
			return e, notJSON, fmt.Errorf("not an event: %w", err)
		}
		return e, notFields, err
	}
	fields, ok := v.(map[string]engine.Value)
	if !ok {
		return e, notFields, errors.New("fields: want an object")
	}
	if !l.Time.IsZero() {
		l.Time = l.Time.UTC()
	}
	return engine.Event{Kind: l.Kind, Source: l.Source, Time: l.Time, Logsource: l.Logsource, Fields: fields}, "", nil
}

// notEvent says what is wrong with a line, without names of our types.
func notEvent(err error) (reason string, why error) {
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong) && wrong.Field == "":
		return notJSON, fmt.Errorf("not an event: got %s, want a JSON object", wrong.Value)
	case errors.As(err, &wrong):
		return notOurs, fmt.Errorf("%s: got %s", wrong.Field, wrong.Value)
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return notJSON, fmt.Errorf("not an event: %w", err)
	}
	return notOurs, fmt.Errorf("not an event: %w", err) // a time that is none
}
