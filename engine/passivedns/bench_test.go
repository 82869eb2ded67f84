package passivedns_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/capture"
	"larkspur/engine/capture/capturetest"
)

// traffic is realistic traffic as messages.
func traffic(b *testing.B, packets int) []*capture.Message {
	var file bytes.Buffer
	_, err := capturetest.NewTraffic(3, capturetest.TrafficOptions{Packets: packets}).Write(&file, capturetest.Format{Link: capturetest.LinkEthernet}, func(*capturetest.Said) {})
	must(b, err)
	return read(b, &file)
}

// BenchmarkObserve is what a message costs who reads it.
func BenchmarkObserve(b *testing.B) {
	list := traffic(b, 100_000)
	m := newBench(b)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		m.Observe("eth1", list[n%len(list)])
		if n++; n%10_000 == 0 {
			b.StopTimer()
			m.Settle()
			b.StartTimer()
		}
	}
}

// BenchmarkMemory is what a message costs in all but writing down: copied and taken
// in. Writing comes once a minute, of at most what the table holds.
func BenchmarkMemory(b *testing.B) {
	list := traffic(b, 300_000)
	m := newBench(b)
	for _, msg := range list[:100_000] {
		m.Observe("eth1", msg)
	}
	m.Settle()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		m.Observe("eth1", list[n%len(list)])
		if n++; n%2000 == 0 {
			m.Settle()
		}
		if n%20_000 == 0 { // what was displaced is written beside
			b.StopTimer()
			must(b, m.Flush())
			b.StartTimer()
		}
	}
	m.Settle()
}

// BenchmarkFlush writes down the counts of a full table; an operation is an entry.
func BenchmarkFlush(b *testing.B) {
	list := traffic(b, 200_000)
	m := newBench(b)
	for done := 0; done < b.N; {
		b.StopTimer()
		before := m.Stats().Written
		for i, msg := range list {
			m.Observe("eth1", msg)
			if i%2000 == 0 {
				m.Settle()
			}
		}
		m.Settle()
		b.StartTimer()
		must(b, m.Flush())
		done += int(m.Stats().Written - before)
	}
}

// BenchmarkGoMap is the other way: a map of texts of the decoded answers.
func BenchmarkGoMap(b *testing.B) {
	list := traffic(b, 300_000)
	type seen struct {
		first, last time.Time
		count       uint64
	}
	known := map[string]*seen{}
	b.ReportAllocs()
	n := 0
	note := func(key string, at time.Time) {
		s := known[key]
		if s == nil {
			s = &seen{first: at}
			known[key] = s
		}
		s.last = at
		s.count++
	}
	for b.Loop() {
		m := list[n%len(list)]
		n++
		domain, _ := capture.Registrable(string(m.Name))
		note(domain, m.Time)
		note(m.Client.Addr().String()+" "+string(m.Name)+" "+m.TypeName(), m.Time)
		if !m.Response() {
			continue
		}
		records, _ := m.Records() // what broke is not counted
		for _, r := range records {
			note(r.Name+" "+r.Type+" "+r.Data, m.Time)
		}
	}
}

// BenchmarkPage is one page of the memory at a million entries: a name with few
// below it, all names, an address that half of them lead to, a client.
func BenchmarkPage(b *testing.B) {
	m := newBench(b)
	dir := fill(b, m, 1_000_000)
	b.Logf("%d bytes of disk an entry", dir/1_000_000)
	for _, q := range []struct {
		name  string
		query engine.DNSQuery
	}{
		{"name", engine.DNSQuery{Domain: "d777.example"}}, {"all", engine.DNSQuery{Domain: "example"}},
		{"address", engine.DNSQuery{IP: "198.51.100.1"}}, {"host", engine.DNSQuery{IP: "10.0.3.7"}},
	} {
		b.Run(q.name, func(b *testing.B) {
			for b.Loop() {
				if page, err := m.History(q.query); err != nil || len(page.Records) == 0 {
					b.Fatalf("got %v, %v", page, err)
				}
			}
		})
	}
	b.Run("domains", func(b *testing.B) {
		for b.Loop() {
			if list, _, err := m.Domains("", 100); err != nil || len(list) != 100 {
				b.Fatalf("got %d, %v", len(list), err)
			}
		}
	})
}

// fill imports n records, and returns what they take on the disk.
func fill(b *testing.B, m *bench, n int) int64 {
	var lines bytes.Buffer
	for i := range n {
		address := fmt.Sprintf("10.0.%d.%d", i>>8&255, i&255)
		if i%2 == 0 {
			address = "198.51.100.1"
		}
		fmt.Fprintf(&lines, `{"rrname":"host%d.d%d.example","rrtype":"A","rdata":"%s","time_first":%d,"time_last":%d}`+"\n", i, i%100_000, address, start.Unix()-int64(i), start.Unix())
	}
	_, err := m.Import(b.Context(), &lines)
	must(b, err)
	sum := int64(0)
	must(b, filepath.Walk(m.dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() && filepath.Ext(info.Name()) == ".sst" {
			sum += info.Size()
		}
		return err
	}))
	return sum
}

// BenchmarkTables tells what the tables take, once there is a first message.
func BenchmarkTables(b *testing.B) {
	m := newBench(b)
	first := messages(b, false, capturetest.Lookup{Name: "www.example.org"})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	m.observe(first...)
	m.Settle()
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/1024, "KiB")
}
