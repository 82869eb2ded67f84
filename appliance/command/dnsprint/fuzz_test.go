package dnsprint

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"

	"larkspur/engine/capture"
)

// FuzzLine prints whatever message: its line is one JSON object that says what the
// event of the same message says, or the answers are malformed.
func FuzzLine(f *testing.F) {
	f.Add(query.Query(), uint16(53))
	f.Add(query.Response(), uint16(5353))
	for _, v := range vectors(f) {
		f.Add(v.raw, uint16(53))
	}
	var lines formatter
	lookups := capture.NewLookups()
	f.Fuzz(func(t *testing.T, raw []byte, port uint16) {
		var m capture.Message
		w := capture.Wire{Time: moment, Client: query.Client.Addr, Server: netip.AddrPortFrom(query.Server.Addr.Addr(), port), Raw: raw}
		if capture.FromWire(&m, w) != nil {
			return
		}
		line, err := lines.format(&m, lookups.Pair)
		if _, malformed := m.Records(); (err != nil) != (malformed != nil) {
			t.Fatalf("got %v, records say %v", err, malformed)
		}
		if err != nil {
			return
		}
		fields := m.Fields()
		fields["time"] = m.Time.Format("2006-01-02T15:04:05.000000000Z")
		text, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		var got, want map[string]any
		if err := json.Unmarshal(line, &got); err != nil || line[len(line)-1] != '\n' {
			t.Fatalf("%s: %v", line, err)
		}
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		if delete(got, "elapsed_ms"); !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %v\nwant %v", got, want)
		}
	})
}
