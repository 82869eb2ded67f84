package dnsprint

import (
	"bytes"
	"io"
	"testing"

	"larkspur/engine/capture"
	"larkspur/engine/capture/capturetest"
)

// BenchmarkPrint goes from the bytes of a pcap file to lines; an operation is a
// message.
func BenchmarkPrint(b *testing.B) {
	var file bytes.Buffer
	truth, err := capturetest.NewTraffic(1, capturetest.TrafficOptions{Packets: 20_000}).Write(&file, capturetest.Format{Link: 1}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for done := uint64(0); done < uint64(b.N); done += truth.Messages {
		src, err := capture.NewFile(b.Context(), "bench", bytes.NewReader(file.Bytes()))
		if err != nil {
			b.Fatal(err)
		}
		if err := Print(b.Context(), io.Discard, io.Discard, src, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
