package record_test

import (
	"bytes"
	"reflect"
	"sort"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
)

// payloads lists every payload type, so that no test forgets one.
var payloads = []any{
	record.EpochOpened{}, record.BundleActivated{}, record.LoggedIn{}, record.LoggedOut{}, record.Exported{}, record.KeyRotated{}, record.Rebuilt{}, record.Erased{},
	record.Span{}, record.Selection{}, record.Waiting{},
	record.EventSeen{}, record.EventMatched{}, record.EventRouted{}, record.JobFired{}, record.StepStarted{}, record.StepDone{},
	record.RunParked{}, record.RunEnded{}, record.WorkerDied{}, record.QuestionAnswered{}, record.TimerFired{},
	record.UndoRequested{}, record.IncidentAct{}, record.Outcome{}, record.Question{}, record.Link{},
	record.Change{}, record.Start{}, record.StateSet{}, record.BrakeSet{}, record.ClockHeld{}, record.Lock{}, record.LockChanged{}, record.Expected{}, record.ExpectSet{}, record.EventExpected{},
	record.JobStarted{}, record.Limit{}, record.DeadlineSet{}, record.DeadlineBreached{},
	record.SignInOffered{}, record.DevicePaired{}, record.DeviceRevoked{},
}

func TestFieldsOfPayloadsStandInTheOrderOfTheirKeys(t *testing.T) {
	for _, p := range payloads {
		typ := reflect.TypeOf(p)
		var keys []string
		for i := range typ.NumField() {
			key, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if key == "" {
				t.Errorf("%s.%s has no key", typ.Name(), typ.Field(i).Name)
			}
			keys = append(keys, key)
		}
		if !sort.StringsAreSorted(keys) {
			t.Errorf("%s: got keys %v, want them sorted", typ.Name(), keys)
		}
	}
}

func TestHeaderRoundTrip(t *testing.T) {
	h := record.Header{
		Ledger: record.LedgerID{1, 2, 3}, Incarnation: 4, Shard: 5, Epoch: 6, Frame: 7, Record: 8,
		Kind: record.StepDoneKind, Time: time.Unix(0, 1790000000123456789).UTC(),
	}
	b := h.Append(nil)
	got, err := record.ParseHeader(b)
	if err != nil || got != h || len(b) != record.HeaderBytes {
		t.Errorf("got %+v, %v in %d bytes, want %+v in %d", got, err, len(b), h, record.HeaderBytes)
	}
}

func TestEveryKindHasAName(t *testing.T) {
	for _, k := range record.Kinds() {
		if strings.HasPrefix(k.String(), "kind_") {
			t.Errorf("kind %d has no name", k)
		}
	}
}

func FuzzFrame(f *testing.F) {
	frame := record.Frame{Number: 3, First: 9, Node: "box", Entries: []record.Entry{{Kind: 20, Time: time.Unix(5, 0).UTC(), Outcome: []byte(`{"applied":true}`)}}}
	f.Add(frame.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := record.ParseFrame(b)
		if err != nil {
			if engine.KindOf(err) != engine.Invalid {
				t.Errorf("got kind %s, want invalid", engine.KindOf(err))
			}
			return
		}
		again, err := record.ParseFrame(got.Append(nil))
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("got %+v (%v), want %+v", again, err, got)
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add(bytes.Repeat([]byte{1}, record.HeaderBytes))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := record.ParseHeader(b)
		if err == nil && !bytes.Equal(h.Append(nil), b) {
			t.Errorf("%x does not come back", b)
		}
	})
}
