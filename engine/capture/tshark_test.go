package capture

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"larkspur/engine/capture/capturetest"
)

// tsharkFields are what tshark is asked for; the meaning is in their order.
var tsharkFields = []string{
	"frame.time_epoch", "ip.src", "ipv6.src", "ip.dst", "ipv6.dst", "udp.srcport", "tcp.srcport", "udp.dstport", "tcp.dstport",
	"eth.src", "eth.dst", "vlan.id", "dns.id", "dns.flags.response", "dns.qry.name", "dns.qry.type", "dns.qry.class", "dns.flags.rcode",
	"dns.flags.opcode", "dns.a", "dns.aaaa", "dns.cname", "dns.mx.mail_exchange", "dns.resp.ttl", "ieee8021ad.id",
}

// tshark returns what tshark says of the messages of a capture, a line each.
func tshark(t *testing.T, file []byte) []string {
	t.Helper()
	program, err := exec.LookPath("tshark")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("needs tshark: %v", err)
		}
		t.Skipf("needs tshark: %v", err)
	}
	path := filepath.Join(t.TempDir(), "test.pcap")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-r", path, "-n", "-Y", "dns", "-T", "fields", "-E", "separator=;", "-E", "aggregator=|", "-o", "tcp.reassemble_out_of_order:TRUE"}
	for _, field := range tsharkFields {
		args = append(args, "-e", field)
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "TZ=UTC")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v: %s", err, stderr.String())
	}
	var lines []string
	for frame := range strings.Lines(string(out)) {
		lines = append(lines, tsharkMessages(strings.Split(strings.TrimSuffix(frame, "\n"), ";"))...)
	}
	return lines
}

// tsharkMessages takes the messages of a frame apart. Where there are several, they
// are queries: lists of answers could not be told apart.
func tsharkMessages(f []string) []string {
	var lines []string
	all := func(i, n int) string { return strings.Split(f[i], "|")[n] }
	messages := strings.Split(f[12], "|")
	for n, id := range messages {
		from, to := f[1]+f[2]+" "+f[5]+f[6], f[3]+f[4]+" "+f[7]+f[8]
		mac, proto := f[9], "udp"
		response := all(13, n) == "1" || all(13, n) == "True"
		if response {
			from, to, mac = to, from, f[10]
		}
		if f[6] != "" {
			proto = "tcp"
		}
		line := fmt.Sprintf("%s %s > %s %s %s vlan %s id %d response %v %s type %s class %d opcode %s", epoch(f[0]), from, to, proto, mac,
			strings.Trim(f[24]+"|"+f[11], "|"), number(id), response, strings.ToLower(all(14, n)), all(15, n), number(all(16, n)), all(18, n))
		if response {
			line += fmt.Sprintf(" rcode %s a %s aaaa %s cname %s mx %s ttl %s", f[17], f[19], f[20], strings.ToLower(f[21]), strings.ToLower(f[22]), f[23])
		}
		lines = append(lines, line)
	}
	return lines
}

func epoch(text string) string {
	whole, fraction, _ := strings.Cut(text, ".")
	return whole + "." + (fraction + "000000000")[:9]
}

func number(text string) uint64 {
	n, _ := strconv.ParseUint(text, 0, 64)
	return n
}

// ours says of a message what tshark does.
func ours(t *testing.T, m *Message) string {
	t.Helper()
	full, err := m.Decoded()
	if err != nil {
		t.Fatal(err)
	}
	var vlans []string
	for _, id := range m.VLANs.IDs() {
		vlans = append(vlans, strconv.Itoa(int(id)))
	}
	line := fmt.Sprintf("%d.%09d %s > %s %s %s vlan %s id %d response %v %s type %d class %d opcode %d", m.Time.Unix(), m.Time.Nanosecond(),
		spaced(m.Client), spaced(m.Server), m.Proto, m.ClientMAC, strings.Join(vlans, "|"), m.ID, m.Response(), m.Name, m.Type, m.Class, full.Opcode)
	if !m.Response() {
		return line
	}
	records, err := m.Records()
	if err != nil {
		t.Fatal(err)
	}
	data := map[string][]string{}
	for _, r := range records {
		data[r.Type] = append(data[r.Type], strings.TrimPrefix(r.Data, "10 "))
		data["ttl"] = append(data["ttl"], strconv.Itoa(int(r.TTL)))
	}
	join := func(kind string) string { return strings.Join(data[kind], "|") }
	return line + fmt.Sprintf(" rcode %d a %s aaaa %s cname %s mx %s ttl %s", full.Rcode, join("A"), join("AAAA"), join("CNAME"), join("MX"), join("ttl"))
}

func spaced(a netip.AddrPort) string { return fmt.Sprintf("%s %d", a.Addr(), a.Port()) }

// traffic writes lookups of all kinds: both IP versions, UDP whole and in
// fragments, TCP in one piece and in several, tags, and what is not DNS.
func traffic(w *capturetest.Writer, n int) {
	random := rand.New(rand.NewPCG(7, 8))
	for i := range n {
		l := oneOfMany(random, i)
		switch random.IntN(6) {
		case 0:
			w.ExchangeTCP(l)
		case 1:
			w.Query(l)
			inFragments(w, random, l)
		case 2:
			inSegments(w, random, l, oneOfMany(random, i))
		default:
			w.Exchange(l)
		}
		web := capturetest.At(9, "192.0.2.9:443")
		w.Frame(l.Time, capturetest.Datagram(web, client, nil, []byte("not DNS")))
	}
}

func oneOfMany(random *rand.Rand, i int) capturetest.Lookup {
	host := byte(1 + random.IntN(50))
	l := capturetest.Lookup{
		Time: start.Add(time.Duration(i) * 1234567891), ID: uint16(random.IntN(1 << 16)),
		Client: capturetest.At(host, fmt.Sprintf("192.0.2.%d:%d", host, 20000+i)), Server: server,
		Name: fmt.Sprintf("Host%d.Example.org", i), Type: "A",
	}
	if random.IntN(3) == 0 {
		l.Client, l.Server = capturetest.At(host, fmt.Sprintf("[2001:db8::%x]:%d", host, 20000+i)), server6
	}
	l.VLANs = [][]uint16{nil, nil, {7}, {100, 7}}[random.IntN(4)]
	switch random.IntN(5) {
	case 0:
		l.Type, l.Answers = "AAAA", []string{l.Name + ". 60 IN CNAME Web.example.net.", "web.example.net. 300 IN AAAA 2001:db8::80"}
	case 1:
		l.Type, l.Answers = "MX", []string{l.Name + ". 60 IN MX 10 Mail.example.org."}
	case 2:
		l.Rcode = "NXDOMAIN"
	case 3:
		l.Type = "HTTPS"
	default:
		for n := range 1 + random.IntN(8) {
			l.Answers = append(l.Answers, fmt.Sprintf("%s. %d IN A 192.0.2.%d", l.Name, random.IntN(1<<20), n))
		}
	}
	return l
}

// inFragments writes the response in pieces.
func inFragments(w *capturetest.Writer, random *rand.Rand, l capturetest.Lookup) {
	datagram := capturetest.UDP(l.Server, l.Client, l.Response())
	for _, packet := range capturetest.Fragments(l.Server, l.Client, capturetest.ProtoUDP, random.Uint32N(1<<16), 24, datagram) {
		w.Frame(l.Time, capturetest.Ethernet(l.Server, l.Client, l.VLANs, packet))
	}
}

// inSegments writes two queries in one stream, some of it out of order and some
// twice.
func inSegments(w *capturetest.Writer, random *rand.Rand, l, second capturetest.Lookup) {
	data := slices.Concat(capturetest.Prefixed(l.Query()), capturetest.Prefixed(second.Query()))
	first := random.Uint32()
	at := func(seq uint32, flags uint8, payload []byte) {
		segment := capturetest.Segment(l.Client, l.Server, seq, 0, flags, payload)
		w.Frame(l.Time, capturetest.Ethernet(l.Client, l.Server, l.VLANs, capturetest.IP(l.Client, l.Server, capturetest.ProtoTCP, 1, segment)))
	}
	cut, again := 1+random.IntN(len(data)-2), random.IntN(3)
	at(first-1, capturetest.SYN, nil)
	if again == 0 {
		at(first+uint32(cut), capturetest.ACK, data[cut:])
		at(first, capturetest.ACK, data[:cut])
		return
	}
	at(first, capturetest.ACK, data[:cut])
	if again == 1 {
		at(first, capturetest.ACK, data[:cut])
	}
	at(first+uint32(cut), capturetest.ACK, data[cut:])
}

func TestTsharkSaysTheSame(t *testing.T) {
	for name, format := range map[string]capturetest.Format{"pcap": ethernet, "pcapng": {Link: 1, NG: true, Micro: true}} {
		t.Run(name, func(t *testing.T) {
			const n = 400
			file := written(format, func(w *capturetest.Writer) { traffic(w, n) })
			want := tshark(t, file)
			messages, stats := mustRead(t, file)
			if len(messages) < 2*n || len(stats.Undecodable)+len(stats.Lost) != 0 {
				t.Fatalf("got %d messages (%+v), want at least %d and nothing lost", len(messages), stats, 2*n)
			}
			var got []string
			for _, m := range messages {
				got = append(got, ours(t, m))
			}
			for i := range max(len(got), len(want)) {
				if i >= len(got) || i >= len(want) || got[i] != want[i] {
					t.Fatalf("message %d:\nours    %s\ntshark  %s", i, got[min(i, len(got)-1)], want[min(i, len(want)-1)])
				}
			}
		})
	}
}
