package demo

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"larkspur/engine/capture/capturetest"
)

var update = flag.Bool("update", false, "write netflix.pcap anew")

// TestRecording holds the recorded DNS to what makes it.
func TestRecording(t *testing.T) {
	want := record(t)
	if *update {
		if err := os.WriteFile("netflix.pcap", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(recording, want) {
		t.Error("netflix.pcap is not what this test makes; write it anew with -update")
	}
}

// record makes four seconds of a house: three devices, 40 lookups, two of them
// the TV's of Netflix, one of a look-alike.
func record(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	w := capturetest.NewWriter(&out)
	start := time.Date(2026, 11, 14, 19, 30, 0, 0, time.UTC)
	server := capturetest.At(0x35, "192.0.2.53:53")
	devices := []struct {
		n    byte
		addr string
	}{{0x07, "192.0.2.7"}, {0x03, "192.0.2.12"}, {0x09, "192.0.2.30"}}
	names := []string{"www.example.org", "time.example.net", "mail.example.org", "cdn.example.com", "notnetflix.example", "api.example.net"}
	for i := range 40 {
		from, name := devices[i%3], names[i%len(names)]
		switch i {
		case 12:
			from, name = devices[0], "www.netflix.com"
		case 15:
			from, name = devices[0], "ipv4-c001.1.nflxvideo.net"
		}
		client := capturetest.At(from.n, fmt.Sprintf("%s:%d", from.addr, 40000+i))
		w.Exchange(capturetest.Lookup{
			Time: start.Add(time.Duration(i) * 100 * time.Millisecond), Client: client, Server: server,
			ID: uint16(1000 + i), Name: name, Answers: []string{name + ". 300 IN A 198.51.100." + strconv.Itoa(i+1)},
		})
	}
	if w.Err() != nil {
		t.Fatal(w.Err())
	}
	return out.Bytes()
}
