package bench

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/miekg/dns"
)

// Packets of the file that all read; the slow ones read one of a tenth.
const (
	dnsPackets  = 2_000_000
	slowPackets = 200_000
	// watched stands in the file, and in nobody's list but ours.
	watched = "netflix.com"
)

// A reader of captures, and how often it is run: fast ones more often.
type dnsPeer struct {
	name    string
	packets int
	rounds  int
	// read reads the file and returns the CPU time of that.
	read func(b *testing.B, file string) time.Duration
}

func dnsPeers() []dnsPeer {
	program := func(args ...string) func(*testing.B, string) time.Duration {
		return func(b *testing.B, file string) time.Duration { return cpuOf(b, file, args...) }
	}
	loop := func(read func(io.Reader) error) func(*testing.B, string) time.Duration {
		return func(b *testing.B, file string) time.Duration { return cpuWithin(b, file, read) }
	}
	return []dnsPeer{
		{"dnstop", dnsPackets, 5, program("dnstop", "-l", "3", "FILE")},
		{"gopacket+layers.DNS", dnsPackets, 5, loop(gopacketLayers)},
		{"gopacket+miekg", dnsPackets, 5, loop(gopacketMiekg)},
		{"tcpdump-text", slowPackets, 3, program("tcpdump", "-nr", "FILE")},
		{"tshark-fields", slowPackets, 1, program("tshark", "-nr", "FILE", "-T", "fields", "-e", "frame.time_epoch", "-e", "ip.src", "-e", "dns.qry.name", "-e", "dns.a")},
		{"dnscap", slowPackets, 3, program("dnscap", "-r", "FILE", "-g")},
		{"tcpdump-w", dnsPackets, 5, program("tcpdump", "-r", "FILE", "-w", "/dev/null")},
	}
}

// BenchmarkDNSFile reads the same file with us and with each peer in turns: CPU
// time of all threads, page cache warm. What we do is decode, match against a list
// of a million domains and rules, and return what matched (BenchmarkMatchFile);
// the peers do what their names say. ratio is the median of the rounds'.
func BenchmarkDNSFile(b *testing.B) {
	needs(b, "dnstop", "tcpdump", "tshark", "dnscap")
	files := map[int]string{}
	for _, n := range []int{dnsPackets, slowPackets} {
		files[n] = traffic(b, n)
	}
	match := build(b, "./appliance/trial")
	b.Setenv("LARKSPUR_BENCH_FILE", files[dnsPackets])
	for _, p := range dnsPeers() {
		b.Run(p.name, func(b *testing.B) {
			var theirs, mine, ratios []float64
			for b.Loop() {
				for range p.rounds {
					t := float64(p.read(b, files[p.packets])) / float64(p.packets)
					o := match.figure(b, "^BenchmarkMatchFile$/^workers=1$", 1, "cpu-ns/packet")
					theirs, mine, ratios = append(theirs, t), append(mine, o), append(ratios, t/o)
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(theirs), "peer-ns/packet")
			b.ReportMetric(median(mine), "ns/packet")
			b.ReportMetric(median(ratios), "ratio")
		})
	}
}

// needs ends a benchmark where a program is missing: .ci/measure installs them.
func needs(b *testing.B, programs ...string) {
	b.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			b.Fatalf("needs %s: %v", p, err)
		}
	}
}

// traffic writes a capture of n packets with Larkspur's own generator.
func traffic(b *testing.B, n int) string {
	b.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), strconv.Itoa(n)+".pcap")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command("go", "run", "./engine/capture/capturetest/traffic", "-packets", strconv.Itoa(n), "-watch", watched)
	var said bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, f, &said
	if err := cmd.Run(); err != nil {
		b.Fatalf("%s: %v: %s", cmd, err, said.String())
	}
	return path
}

// cpuOf runs a program, which prints to nowhere, and returns its CPU time.
func cpuOf(b *testing.B, file string, args ...string) time.Duration {
	b.Helper()
	args = strings.Split(strings.ReplaceAll(strings.Join(args, "\x00"), "FILE", file), "\x00")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "HOME="+b.TempDir(), "TZ=UTC")
	sink, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer sink.Close()
	cmd.Stdout, cmd.Stderr = sink, sink
	if err := cmd.Run(); err != nil {
		b.Fatalf("%s: %v", cmd, err)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// cpuWithin reads a file within this process and returns the CPU time of that, its
// collector's included.
func cpuWithin(b *testing.B, file string, read func(io.Reader) error) time.Duration {
	b.Helper()
	f, err := os.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	before := cpuTime(b)
	if err := read(bufio.NewReaderSize(f, 512<<10)); err != nil {
		b.Fatal(err)
	}
	return cpuTime(b) - before
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// gopacketLayers counts the names of questions as gopacket's documents advise for
// speed: a DecodingLayerParser with layers that are used again, no copy.
func gopacketLayers(in io.Reader) error {
	var found int
	var message layers.DNS
	return eachUDP(in, func(payload []byte) {
		if message.DecodeFromBytes(payload, gopacket.NilDecodeFeedback) == nil {
			for _, q := range message.Questions {
				if strings.HasSuffix(string(q.Name), watched) {
					found++
				}
			}
		}
	})
}

// gopacketMiekg decodes each message whole with miekg/dns.
func gopacketMiekg(in io.Reader) error {
	var found int
	return eachUDP(in, func(payload []byte) {
		var message dns.Msg
		if message.Unpack(payload) == nil && len(message.Question) > 0 && strings.HasSuffix(message.Question[0].Name, watched+".") {
			found++
		}
	})
}

// eachUDP visits the payloads from and to port 53.
func eachUDP(in io.Reader, visit func([]byte)) error {
	r, err := pcapgo.NewReader(in)
	if err != nil {
		return err
	}
	var (
		eth layers.Ethernet
		tag layers.Dot1Q
		ip4 layers.IPv4
		ip6 layers.IPv6
		udp layers.UDP
	)
	parser := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &eth, &tag, &ip4, &ip6, &udp)
	parser.IgnoreUnsupported = true
	var met []gopacket.LayerType
	for {
		data, _, err := r.ZeroCopyReadPacketData()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if parser.DecodeLayers(data, &met) != nil || len(met) == 0 || met[len(met)-1] != layers.LayerTypeUDP {
			continue
		}
		if udp.SrcPort == 53 || udp.DstPort == 53 {
			visit(udp.Payload)
		}
	}
}
