package capture

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"larkspur/engine/capture/capturetest"
)

// benchPackets is how many packets the file of the benchmarks holds.
const benchPackets = 500_000

// trafficFile returns the path of a capture of made-up traffic, and its frames.
func trafficFile(b *testing.B, format capturetest.Format) (string, uint64) {
	path := filepath.Join(b.TempDir(), "dns.pcap")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	truth, err := capturetest.NewTraffic(1, capturetest.TrafficOptions{Packets: benchPackets}).Write(f, format, nil)
	if err != nil {
		b.Fatal(err)
	}
	return path, truth.Frames
}

// cpuTime is what all threads of the process used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure reads a file by each way in turns, and reports the processor time and the
// allocations of a packet, in the best of the rounds.
func measure(b *testing.B, packets uint64, ways map[string]func()) (wall map[string]time.Duration) {
	wall = map[string]time.Duration{}
	cpu, allocs := map[string]time.Duration{}, map[string]uint64{}
	var before, after runtime.MemStats
	for range b.N {
		for name, run := range ways {
			runtime.ReadMemStats(&before)
			used, begun := cpuTime(b), time.Now()
			run()
			took := time.Since(begun)
			used = cpuTime(b) - used
			runtime.ReadMemStats(&after)
			if wall[name] == 0 || took < wall[name] {
				wall[name] = took
			}
			if cpu[name] == 0 || used < cpu[name] {
				cpu[name] = used
			}
			allocs[name] = after.Mallocs - before.Mallocs
		}
	}
	for name := range ways {
		b.ReportMetric(float64(cpu[name].Nanoseconds())/float64(packets), name+"-ns/packet")
		b.ReportMetric(float64(allocs[name])/float64(packets), name+"-allocs/packet")
	}
	return wall
}

// BenchmarkScan reads a file of made-up traffic, of which nothing is wanted: one
// message after the other, and by one and by two workers.
func BenchmarkScan(b *testing.B) {
	path, packets := trafficFile(b, ethernet)
	open := func() *File {
		f, err := Open(b.Context(), path)
		if err != nil {
			b.Fatal(err)
		}
		return f
	}
	scan := func(workers int) func() {
		return func() {
			f := open()
			defer f.Close()
			s := NewScan(f, workers, always(questions["none"]))
			if err := s.Run(context.Background(), func(*Message) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	}
	wall := measure(b, packets, map[string]func(){
		"one": scan(1), "two": scan(2),
		"reader": func() {
			f := open()
			defer f.Close()
			r := NewReader(f)
			for {
				if _, err := r.Next(context.Background()); err == io.EOF {
					return
				} else if err != nil {
					b.Fatal(err)
				}
			}
		},
	})
	b.ReportMetric(float64(wall["one"])/float64(wall["two"]), "two-workers-ratio")
	b.ReportMetric(0, "ns/op")
}
