package capture

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"larkspur/engine/capture/capturetest"
)

var (
	start    = time.Date(2026, 11, 22, 8, 0, 0, 123456789, time.UTC)
	client   = capturetest.At(7, "192.0.2.7:40000")
	server   = capturetest.At(53, "192.0.2.53:53")
	client6  = capturetest.At(7, "[2001:db8::7]:40000")
	server6  = capturetest.At(53, "[2001:db8::53]:53")
	ethernet = capturetest.Format{Link: capturetest.LinkEthernet}
)

// lookup returns the n-th of a row of lookups, one a second.
func lookup(n int) capturetest.Lookup {
	return capturetest.Lookup{
		Time: start.Add(time.Duration(n) * time.Second), Client: client, Server: server, ID: uint16(n),
		Name: fmt.Sprintf("host%d.example.org", n), Answers: []string{fmt.Sprintf("host%d.example.org. 300 IN A 192.0.2.80", n)},
	}
}

// written returns the capture file that write makes.
func written(format capturetest.Format, write func(w *capturetest.Writer)) []byte {
	var file bytes.Buffer
	write(capturetest.NewFormatWriter(&file, format))
	return file.Bytes()
}

// read returns all messages of a capture file, its counters, and the error that
// ended it, nil at a clean end.
func read(t *testing.T, data []byte) ([]*Message, Stats, error) {
	t.Helper()
	src, err := NewFile(t.Context(), "test", bytes.NewReader(data))
	if err != nil {
		return nil, Stats{}, err
	}
	defer src.Close()
	r := NewReader(src)
	var messages []*Message
	for {
		m, err := r.Next(t.Context())
		if err == io.EOF {
			return messages, r.Stats(), nil
		}
		if err != nil {
			return messages, r.Stats(), err
		}
		messages = append(messages, m.Clone())
	}
}

// mustRead is read for a file without faults.
func mustRead(t *testing.T, data []byte) ([]*Message, Stats) {
	t.Helper()
	messages, stats, err := read(t, data)
	if err != nil {
		t.Fatalf("got %v, want no error", err)
	}
	return messages, stats
}

// decode returns the messages of frames, and the counters.
func decode(link LinkType, frames ...[]byte) ([]*Message, Stats) {
	d := NewDecoder()
	var messages []*Message
	drain := func() {
		for m := d.Next(); m != nil; m = d.Next() {
			messages = append(messages, m.Clone())
		}
	}
	for i, data := range frames {
		d.Decode(&Frame{Time: start.Add(time.Duration(i) * time.Millisecond), Link: link, Data: data, Length: len(data)})
		drain()
	}
	d.Flush()
	drain()
	return messages, d.Stats()
}

// names returns the questions of messages.
func names(messages []*Message) []string {
	list := []string{}
	for _, m := range messages {
		list = append(list, string(m.Name))
	}
	return list
}

// wantCount checks one counter.
func wantCount(t *testing.T, counters map[string]uint64, r Reason, want uint64) {
	t.Helper()
	if got := counters[r.String()]; got != want {
		t.Errorf("%s: got %d, want %d (all: %v)", r, got, want, counters)
	}
}
