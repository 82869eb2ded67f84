package capture

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"larkspur/engine/capture/capturetest"
)

// bootp makes a DHCP message of the phone 02:00:00:00:00:08.
func bootp(options ...byte) []byte {
	b := make([]byte, bootpFixed+4)
	b[0], b[1], b[2] = 1, 1, 6
	copy(b[bootpCiaddr:], []byte{192, 0, 2, 8})
	copy(b[bootpYiaddr:], []byte{192, 0, 2, 9})
	copy(b[bootpChaddr:], []byte{2, 0, 0, 0, 0, 8})
	binary.BigEndian.PutUint32(b[bootpFixed:], dhcpMagic)
	return append(b, options...)
}

func TestParseLease(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		want string // address and name; "" for nothing
	}{
		"request":          {bootp(53, 1, 3, 12, 5, 'p', 'h', 'o', 'n', 'e', 255), "192.0.2.8 phone"},
		"ack":              {bootp(53, 1, 5, 0, 0, 255), "192.0.2.9 "},
		"inform, FQDN":     {bootp(53, 1, 8, 81, 8, 0, 0, 0, 'a', '.', 'l', 'a', 'n', 255), "192.0.2.8 a.lan"},
		"FQDN on the wire": {bootp(53, 1, 3, 81, 10, 4, 0, 0, 1, 'a', 3, 'l', 'a', 'n', 0, 255), "192.0.2.8 a"},
		"no end":           {bootp(53, 1, 3), "192.0.2.8 "},
		"discover":         {bootp(53, 1, 1, 255), ""},
		"no kind":          {bootp(12, 1, 'x', 255), ""},
		"option cut":       {bootp(53, 1, 3, 12, 9, 'x'), ""},
		"FQDN cut":         {bootp(53, 1, 3, 81, 4, 4, 0, 0, 9, 255), "192.0.2.8 "},
		"too short":        {bootp()[:bootpFixed], ""},
		"another kind":     {append([]byte{1, 6}, bootp(53, 1, 3)[2:]...), ""},
		"of nobody":        {make([]byte, 300), ""},
	} {
		l, ok := ParseLease(c.data)
		got := ""
		if ok {
			got = l.Addr.String() + " " + l.Name
		}
		if got != c.want || ok && l.MAC.String() != "02:00:00:00:00:08" {
			t.Errorf("%s: got %q of %s, want %q", name, got, l.MAC, c.want)
		}
	}
}

func FuzzLease(f *testing.F) {
	f.Add(bootp(53, 1, 3, 12, 5, 'p', 'h', 'o', 'n', 'e', 81, 10, 4, 0, 0, 1, 'a', 3, 'l', 'a', 'n', 0, 255))
	f.Fuzz(func(t *testing.T, data []byte) {
		if l, ok := ParseLease(data); ok && (l.MAC.IsZero() || len(l.Name) > maxHostBytes) {
			t.Errorf("got %+v", l)
		}
	})
}

// A Reader tells of the leases among the frames, and counts them as no DNS.
func TestReaderTellsLeases(t *testing.T) {
	var b bytes.Buffer
	w := capturetest.NewWriter(&b)
	client, server := capturetest.At(8, "192.0.2.8:68"), capturetest.At(1, "192.0.2.1:67")
	moment := time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
	w.Frame(moment, capturetest.Datagram(client, server, nil, bootp(53, 1, 3, 12, 5, 'p', 'h', 'o', 'n', 'e', 255)))
	w.Frame(moment, capturetest.Datagram(client, server, nil, []byte("no DHCP")))
	w.Query(capturetest.Lookup{Time: moment, Client: capturetest.At(8, "192.0.2.8:40000"), Server: capturetest.At(53, "192.0.2.53:53"), Name: "www.example.org"})
	src, err := NewFile(t.Context(), "test", &b)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	r := NewReader(src)
	var told []Lease
	r.TellLeases(func(l Lease) { told = append(told, l) })
	if m, err := r.Next(t.Context()); err != nil || string(m.Name) != "www.example.org" {
		t.Fatalf("got %v, %v", m, err)
	}
	if len(told) != 1 || told[0].Name != "phone" || !told[0].Time.Equal(moment) || r.Stats().Ignored["other_port"] != 2 {
		t.Errorf("got %+v and %v", told, r.Stats().Ignored)
	}
}
