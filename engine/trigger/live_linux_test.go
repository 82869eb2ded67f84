package trigger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/capture"
	"larkspur/engine/capture/capturetest"
	"larkspur/engine/capture/capturetest/flood"
	"larkspur/rules"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	flood.Serve() // does not return in the sender's process
	os.Exit(m.Run())
}

// cable joins the interfaces lk0, where captures listen, and lk1, where a process
// sends, in a network namespace of the benchmark's thread.
func cable(b *testing.B) *flood.Process {
	b.Helper()
	runtime.LockOSThread() // for good: the thread ends with the benchmark
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		b.Fatalf("needs root: %v", err)
	}
	os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	for _, words := range []string{"link add lk0 mtu 9000 type veth peer name lk1 mtu 9000", "link set lk0 up", "link set lk1 up"} {
		if out, err := exec.Command("ip", strings.Fields(words)...).CombinedOutput(); err != nil {
			b.Fatalf("ip %s: %v: %s", words, err, out)
		}
	}
	p, err := flood.Start("lk1")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { p.Close() })
	return p
}

// listener takes in what comes while send runs: it returns how many frames, and
// what CPU time its process spent.
type listener struct {
	name string
	hear func(b *testing.B, send func()) (frames uint64, cpu time.Duration)
}

// BenchmarkLive sends DNS through a veth pair at a pace, 0 being the sender's
// ceiling, while one listener after the other captures it; a round is two seconds
// of each. It reports of each how many of a million frames did not arrive, and
// what a frame that did cost its process in CPU time, system calls included. Ours
// is a whole trigger.DNS, with rules and a list of 1M domains.
func BenchmarkLive(b *testing.B) {
	set := bigRules(b)
	for _, rate := range []int{100_000, 300_000, 500_000, 0} {
		name := "ceiling"
		if rate > 0 {
			name = fmt.Sprintf("%dk", rate/1000)
		}
		b.Run(name, func(b *testing.B) {
			sender := cable(b)
			measure(b, sender, rate, []listener{
				{"ours", func(b *testing.B, send func()) (uint64, time.Duration) {
					return hearOurs(b, set, capture.LiveConfig{}, send)
				}},
				{"recv", func(b *testing.B, send func()) (uint64, time.Duration) {
					return hearOurs(b, set, capture.LiveConfig{Plain: true}, send)
				}},
				{"tcpdump", hearTcpdump},
				{"dnscap", hearDnscap},
			})
		})
	}
}

// bigRules are some rules and a watch list of 1M domains, none of which the
// traffic asks for but what is below d0 to d9 of the generator.
func bigRules(b *testing.B) *rules.Set {
	b.Helper()
	var text bytes.Buffer
	for i := range 1_000_000 {
		fmt.Fprintf(&text, "w%d.example\n", i)
	}
	lists := map[string]*rules.List{"big": rules.ParseList("lists/big.txt", text.String())}
	var d engine.Declarations
	for i, args := range []map[string]engine.Value{
		{"list": "big"}, {"domains": []any{"netflix.com", "nflxvideo.net"}}, {"domains": capturetest.Domain(3), "clients": "198.51.100.0/24"},
		{"rcodes": "NXDOMAIN", "domains": "example.org"}, {"types": "TXT", "domains": "tunnel.example"},
	} {
		d.Rules = append(d.Rules, engine.Rule{Name: fmt.Sprint("r", i), Mode: "live", When: []engine.Trigger{{Kind: "dns", Args: engine.MustEncode(args)}}})
	}
	set := rules.Compile(d, lists)
	if p := set.Problems(); len(p) > 0 {
		b.Fatal(p)
	}
	return set
}

// measure lets all listeners hear the same, in turns, and reports.
func measure(b *testing.B, sender *flood.Process, rate int, listeners []listener) {
	lost, cost, pace := map[string][]float64{}, map[string][]float64{}, []float64{}
	for b.Loop() {
		for _, l := range listeners {
			var sent int
			var took time.Duration
			var err error
			frames, cpu := l.hear(b, func() {
				sent, took, err = sender.Send(rate, max(rate, 500_000)*2)
			})
			if err != nil {
				b.Fatal(err)
			}
			lost[l.name] = append(lost[l.name], (float64(sent)-float64(frames))/float64(sent)*1e6)
			cost[l.name] = append(cost[l.name], float64(cpu.Nanoseconds())/float64(max(frames, 1)))
			pace = append(pace, float64(sent)/took.Seconds())
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(pace), "frames/s")
	for _, l := range listeners {
		b.ReportMetric(slices.Max(lost[l.name]), l.name+"-lost/M")
		b.ReportMetric(median(cost[l.name]), l.name+"-ns/frame")
	}
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

func cpuTime() time.Duration {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func hearOurs(b *testing.B, set *rules.Set, cfg capture.LiveConfig, send func()) (uint64, time.Duration) {
	cfg.Interface = "lk0"
	live, err := capture.OpenLive(cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer live.Close()
	d := NewDNS(DNSConfig{Name: "lk0", Messages: capture.NewReader(live), Matcher: func() Matcher { return set }, Sink: &keeper{}})
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() {
		capture.Precede() // as the appliance does
		ended <- d.Run(ctx)
	}()
	before := cpuTime()
	send()
	await(func() uint64 { return d.Stats().Capture.Source.Frames })
	cpu := cpuTime() - before
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		b.Fatal(err)
	}
	st := d.Stats()
	if got := st.Capture; len(got.Undecodable) > 0 || len(st.Dropped) > 0 {
		b.Errorf("got %+v", st)
	}
	return st.Capture.Source.Frames, cpu
}

// await returns when a count grows no more.
func await(count func() uint64) {
	for last, now := uint64(1), uint64(0); last != now; last, now = now, count() {
		time.Sleep(100 * time.Millisecond)
	}
}

// hearProgram lets a capturing program listen: until shortly after its start, and
// from shortly after the last frame, nothing comes. counted finds what it says of
// itself when it is interrupted.
func hearProgram(b *testing.B, send func(), counted *regexp.Regexp, args ...string) ([]string, time.Duration) {
	if _, err := exec.LookPath(args[0]); err != nil {
		b.Fatalf("needs %s: Debian's package of that name", args[0])
	}
	var stderr bytes.Buffer
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	time.Sleep(time.Second)
	send()
	time.Sleep(time.Second)
	cmd.Process.Signal(syscall.SIGINT)
	cmd.Wait() // some call an interrupt an error
	m := counted.FindStringSubmatch(stderr.String())
	if m == nil {
		b.Fatalf("%s said %s", args[0], stderr.String())
	}
	return m[1:], cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

var (
	tcpdumpCount = regexp.MustCompile(`(\d+) packets captured`)
	dnscapCount  = regexp.MustCompile(`lk0: (\d+) recv (\d+) drop`)
)

func hearTcpdump(b *testing.B, send func()) (uint64, time.Duration) {
	n, cpu := hearProgram(b, send, tcpdumpCount, "tcpdump", "-i", "lk0", "-B", "32768", "-w", "/dev/null", "port 53 or ip[6:2] & 0x3fff != 0 or ip6 proto 44")
	return number(n[0]), cpu
}

// hearDnscap takes what the kernel received for it, without what it dropped.
func hearDnscap(b *testing.B, send func()) (uint64, time.Duration) {
	n, cpu := hearProgram(b, send, dnscapCount, "dnscap", "-i", "lk0", "-f", "-T", "-S", "-w", "-")
	return number(n[0]) - number(n[1]), cpu
}

func number(text string) uint64 {
	n, _ := strconv.ParseUint(text, 10, 64)
	return n
}
