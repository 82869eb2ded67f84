package capture

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"larkspur/engine/capture/capturetest"
)

// benchFile is a capture of n lookups of different names.
func benchFile(n int) []byte {
	return written(ethernet, func(w *capturetest.Writer) {
		for i := range n {
			l := lookup(i)
			l.Name = fmt.Sprintf("host%d.cdn%d.example.org", i%1000, i%17)
			l.Answers = []string{l.Name + ". 300 IN A 192.0.2.80"}
			l.Time = start.Add(time.Duration(i) * time.Millisecond)
			w.Exchange(l)
		}
	})
}

// BenchmarkDecode goes from the bytes of a pcap file to messages with header and
// question; an operation is a message.
func BenchmarkDecode(b *testing.B) {
	const n = 20_000
	file := benchFile(n)
	b.SetBytes(int64(len(file) / (2 * n)))
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; {
		src, err := NewFile(b.Context(), "bench", bytes.NewReader(file))
		if err != nil {
			b.Fatal(err)
		}
		r := NewReader(src)
		for ; done < b.N; done++ {
			if _, err := r.Next(b.Context()); err == io.EOF {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkLookups adds the question whether a message is a lookup.
func BenchmarkLookups(b *testing.B) {
	query, response := exchange(1)
	l := NewLookups()
	b.ReportAllocs()
	for b.Loop() {
		l.Pair(query)
		l.Pair(response)
	}
}

// BenchmarkFields decodes the answers of a message too.
func BenchmarkFields(b *testing.B) {
	_, response := exchange(1)
	b.ReportAllocs()
	for b.Loop() {
		response.Fields()
	}
}
