package trial

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/capture/capturetest"
)

// A replay remembers what it replays: newly seen domains match offline.
func TestReplayKnowsWhatItSaw(t *testing.T) {
	start := time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)
	var file bytes.Buffer
	w := capturetest.NewWriter(&file)
	for n, l := range []capturetest.Lookup{
		{Name: "www.new.example", Answers: []string{"www.new.example. 1 IN A 192.0.2.80"}},
		{Name: "api.new.example", Answers: []string{"api.new.example. 1 IN A 192.0.2.80"}},
		{Name: "www.gone.example", Rcode: "NXDOMAIN"},
		{Name: "www.gone.example", Answers: []string{"www.gone.example. 1 IN A 192.0.2.80"}},
		{Name: "www.new.example", Time: start.AddDate(0, 0, 8), Answers: []string{"www.new.example. 1 IN A 192.0.2.80"}},
		{Name: "late.example", Time: start.AddDate(0, 0, 8).Add(time.Second), Answers: []string{"late.example. 1 IN A 192.0.2.80"}},
	} {
		if l.Time.IsZero() {
			l.Time = start.Add(time.Duration(n) * time.Minute)
		}
		l.ID, l.Client, l.Server = uint16(n), capturetest.At(7, "192.0.2.7:40000"), capturetest.At(53, "192.0.2.53:53")
		w.Exchange(l)
	}
	for _, c := range []struct {
		args map[string]engine.Value
		want []string
	}{
		{map[string]engine.Value{"first_seen": true}, []string{"www.new.example false true", "www.gone.example false true", "late.example false true"}},
		{map[string]engine.Value{"first_seen": true, "rcodes": []engine.Value{"NOERROR"}}, []string{"www.new.example true true", "late.example true true"}},
		{map[string]engine.Value{"first_seen": 7 * 24 * time.Hour}, []string{"www.new.example false false", "late.example false true"}},
	} {
		var got []string
		x, err := Open(t.Context(), Rules{Set: watching(t, "", c.args)}, nil, func(m Match) error {
			got = append(got, fmt.Sprint(m.Event.Fields["query"], " ", m.Event.Fields["response"], " ", m.Event.Fields["first_seen"]))
			return nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Read(t.Context(), "test.pcap", bytes.NewReader(file.Bytes()), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := x.Close(); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%v: got %q, %v, want %q", c.args, got, err, c.want)
		}
	}
}
