package dnsprint

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"larkspur/engine/capture/capturetest"

	"github.com/miekg/dns"
)

// tsharkField is a field of a message as tshark tells it, with those within.
type tsharkField struct {
	Name   string        `xml:"name,attr"`
	Show   string        `xml:"show,attr"`
	Fields []tsharkField `xml:"field"`
}

// tsharkPacket is a packet as tshark tells it, a protocol after the other.
type tsharkPacket struct {
	Protos []tsharkField `xml:"proto"`
}

// find returns the first field of this name at any depth, or nil.
func (f *tsharkField) find(name string) *tsharkField {
	if f.Name == name {
		return f
	}
	for i := range f.Fields {
		if found := f.Fields[i].find(name); found != nil {
			return found
		}
	}
	return nil
}

// text returns what the first field of this name shows.
func (f *tsharkField) text(name string) string {
	if found := f.find(name); found != nil {
		return found.Show
	}
	return ""
}

func (f *tsharkField) number(name string) int64 {
	n, _ := strconv.ParseInt(f.text(name), 0, 64)
	return n
}

// all returns what all fields of this name show.
func (f *tsharkField) all(name string) (texts []string) {
	for i := range f.Fields {
		if f.Fields[i].Name == name {
			texts = append(texts, f.Fields[i].Show)
		}
		texts = append(texts, f.Fields[i].all(name)...)
	}
	return texts
}

// section returns the records of a section.
func (f *tsharkField) section(title string) []tsharkField {
	for i := range f.Fields {
		if f.Fields[i].Name == "" && f.Fields[i].Show == title {
			return f.Fields[i].Fields
		}
	}
	return nil
}

// told is what both say of a message, in one line, beside what is compared by rules
// of its own.
type told struct {
	line      string
	waited    float64 // milliseconds; negative: not said
	malformed bool
	odd       bool // tshark takes the message for repeated, or knows no query of it
}

// tsharkTells returns what tshark says of the messages of a file.
func tsharkTells(t *testing.T, path string) (all []told) {
	t.Helper()
	program, err := exec.LookPath("tshark")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("needs tshark: %v", err)
		}
		t.Skipf("needs tshark: %v", err)
	}
	cmd := exec.Command(program, "-r", path, "-n", "-Y", "dns || mdns || llmnr", "-T", "pdml", "-o", "tcp.reassemble_out_of_order:TRUE")
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "TZ=UTC")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	for d := xml.NewDecoder(bytes.NewReader(out)); ; {
		token, err := d.Token()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("tshark: %v", err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "packet" {
			var p tsharkPacket
			if err := d.DecodeElement(&p, &start); err != nil {
				t.Fatalf("tshark: %v", err)
			}
			all = append(all, p.tells()...)
		}
	}
}

// tells returns what is said of the messages that a packet completes.
func (p *tsharkPacket) tells() (all []told) {
	head := tsharkField{Fields: p.Protos}
	malformed := head.find("_ws.malformed") != nil
	ip := "ip"
	if head.find("ipv6.src") != nil {
		ip = "ipv6"
	}
	proto := "udp"
	if head.find("tcp.srcport") != nil {
		proto = "tcp"
	}
	from := fmt.Sprintf("%s %s", head.text(ip+".src"), head.text(proto+".srcport"))
	to := fmt.Sprintf("%s %s", head.text(ip+".dst"), head.text(proto+".dstport"))
	tags := strings.Join(append(head.all("ieee8021ad.id"), head.all("vlan.id")...), ",")
	for i := range p.Protos {
		f := &p.Protos[i]
		if f.Name != "dns" && f.Name != "mdns" && f.Name != "llmnr" {
			continue
		}
		client, server, mac := from, to, head.text("eth.src")+head.text("sll.src.eth")
		if f.number("dns.flags.response") != 0 {
			client, server, mac = to, from, head.text("eth.dst")
		}
		if first, err := strconv.ParseUint(strings.Split(mac, ":")[0], 16, 8); err == nil && first&1 != 0 {
			mac = "" // a group
		}
		seconds, fraction, _ := strings.Cut(head.text("frame.time_epoch"), ".")
		line := fmt.Sprintf("%s.%s %s > %s %s %s vlans %s %s", seconds, (fraction + "000000000")[:9], client, server, proto, mac, tags, f.message())
		all = append(all, told{
			line: line, waited: f.waited(), malformed: malformed,
			odd: f.find("dns.retransmission") != nil || f.find("dns.unsolicited") != nil,
		})
	}
	return all
}

func (f *tsharkField) waited() float64 {
	seconds, err := strconv.ParseFloat(f.text("dns.time"), 64)
	if err != nil {
		return -1
	}
	return seconds * 1000
}

// message says what stands in the message itself.
func (f *tsharkField) message() string {
	question := ""
	for i, q := range f.section("Queries") {
		question += fmt.Sprintf("%s%s %d %d", comma(i), tsharkName(&q, "dns.qry.name"), q.number("dns.qry.type"), q.number("dns.qry.class"))
	}
	rcode, edns := f.number("dns.flags.rcode"), ""
	for _, r := range f.section("Additional records") {
		if r.number("dns.resp.type") != int64(dns.TypeOPT) || edns != "" {
			continue
		}
		rcode |= r.number("dns.resp.ext_rcode") << 4
		edns = fmt.Sprintf("%d v%d do %d subnet %s errors %v", r.number("dns.rr.udp_payload_size"), r.number("dns.resp.edns0_version"),
			r.number("dns.resp.z.do"), r.subnet(), r.all("dns.opt.ext_error.info_code"))
	}
	flags := ""
	for _, flag := range []struct{ name, field string }{
		{"AA", "authoritative"}, {"TC", "truncated"}, {"RD", "recdesired"}, {"RA", "recavail"}, {"Z", "z"}, {"AD", "authenticated"}, {"CD", "checkdisable"},
	} {
		if f.number("dns.flags."+flag.field) != 0 {
			flags += " " + flag.name
		}
	}
	answers := ""
	for _, r := range f.section("Answers") {
		answers += " | " + r.record()
	}
	return fmt.Sprintf("id %d response %d opcode %d rcode %d flags%s: %s edns %s%s", f.number("dns.id"), f.number("dns.flags.response"),
		f.number("dns.flags.opcode"), rcode, flags, question, edns, answers)
}

func (f *tsharkField) subnet() string {
	if address := f.text("dns.opt.client.addr4") + f.text("dns.opt.client.addr6"); address != "" {
		return fmt.Sprintf("%s/%s/%s", address, f.text("dns.opt.client.netmask"), f.text("dns.opt.client.scope"))
	}
	return ""
}

// tsharkName returns a name as we write it where only letters are concerned.
func tsharkName(f *tsharkField, field string) string {
	name := strings.ToLower(f.text(field))
	if name == "<root>" {
		return "."
	}
	return name
}

// record says an answer: name, type, time to live and data in presentation form.
func (f *tsharkField) record() string {
	name := tsharkName(f, "dns.resp.name")
	if name == "" { // of SRV it is shown in parts
		name = strings.ToLower(f.text("dns.srv.service") + "." + f.text("dns.srv.proto") + "." + f.text("dns.srv.name"))
		name = strings.TrimSuffix(name, ".")
	}
	kind := uint16(f.number("dns.resp.type"))
	return fmt.Sprintf("%s %d %d %s", name, kind, f.number("dns.resp.ttl"), f.recordData(kind))
}

func (f *tsharkField) recordData(kind uint16) string {
	switch kind {
	case dns.TypeA:
		return f.text("dns.a")
	case dns.TypeAAAA:
		return f.text("dns.aaaa")
	case dns.TypeCNAME:
		return tsharkName(f, "dns.cname")
	case dns.TypeNS:
		return tsharkName(f, "dns.ns")
	case dns.TypePTR:
		return tsharkName(f, "dns.ptr.domain_name")
	case dns.TypeMX:
		return f.text("dns.mx.preference") + " " + tsharkName(f, "dns.mx.mail_exchange")
	case dns.TypeSRV:
		return fmt.Sprintf("%s %s %s %s", f.text("dns.srv.priority"), f.text("dns.srv.weight"), f.text("dns.srv.port"), tsharkName(f, "dns.srv.target"))
	case dns.TypeTXT:
		return `"` + strings.Join(f.all("dns.txt"), `" "`) + `"`
	case dns.TypeCAA:
		return fmt.Sprintf(`%d %s "%s"`, f.number("dns.caa.flags"), f.text("dns.caa.tag"), f.text("dns.caa.value"))
	case dns.TypeSOA:
		return fmt.Sprintf("%s %s %s %s %s %s %s", tsharkName(f, "dns.soa.mname"), tsharkName(f, "dns.soa.rname"), f.text("dns.soa.serial_number"),
			f.text("dns.soa.refresh_interval"), f.text("dns.soa.retry_interval"), f.text("dns.soa.expire_limit"), f.text("dns.soa.minimum_ttl"))
	case dns.TypeHTTPS, dns.TypeSVCB:
		data := f.text("dns.svcb.svcpriority") + " " + tsharkName(f, "dns.svcb.targetname")
		if protocols := f.all("dns.svcb.svcparam.alpn"); protocols != nil {
			data += ` alpn="` + strings.Join(protocols, ",") + `"`
		}
		return data
	}
	return fmt.Sprintf("? of %d bytes", f.number("dns.resp.len"))
}

// ourLine is what is read of a line.
type ourLine struct {
	Time       string
	Client     string
	ClientPort int `json:"client_port"`
	Server     string
	ServerPort int `json:"server_port"`
	Proto      string
	ID         int
	Response   bool
	Opcode     string
	Query      string
	Type       string
	Class      string
	Rcode      string
	Flags      []string
	Answers    []struct {
		Name, Type string
		TTL        uint32
		Data       string
	}
	MAC   string `json:"client_mac"`
	VLANs []int
	EDNS  *struct {
		Size    int `json:"udp_size"`
		Version int
		Flags   []string
		Subnet  string `json:"client_subnet"`
		Scope   int    `json:"client_subnet_scope"`
		Errors  []struct{ Code int }
	}
	Elapsed *float64                             `json:"elapsed_ms"`
	More    []struct{ Name, Type, Class string } `json:"more_questions"`
}

// linesTell returns what our lines say of a file.
func linesTell(t *testing.T, path string) (all []told) {
	t.Helper()
	_, stdout, _ := run(t, nil, path)
	for text := range strings.Lines(stdout) {
		var l ourLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		all = append(all, l.told(t))
	}
	return all
}

func (l *ourLine) told(t *testing.T) told {
	var tags []string
	for _, id := range l.VLANs {
		tags = append(tags, strconv.Itoa(id))
	}
	waited := -1.0
	if l.Elapsed != nil {
		waited = *l.Elapsed
	}
	line := fmt.Sprintf("%s %s %d > %s %d %s %s vlans %s id %d response %d opcode %d rcode %d flags%s: %s edns %s", epochOf(t, l.Time), l.Client, l.ClientPort,
		l.Server, l.ServerPort, l.Proto, l.MAC, strings.Join(tags, ","), l.ID, boolToInt(l.Response), dns.StringToOpcode[l.Opcode], code(l.Rcode, "RCODE", dns.StringToRcode),
		strings.Join(append([]string{""}, l.Flags...), " "), l.questions(), l.edns())
	for _, r := range l.Answers {
		kind := dns.StringToType[r.Type]
		line += fmt.Sprintf(" | %s %d %d %s", plainName(r.Name), kind, r.TTL, plainName(r.Data))
	}
	return told{line: line, waited: waited}
}

func (l *ourLine) questions() string {
	if l.Type == "" {
		return ""
	}
	text := fmt.Sprintf("%s %d %d", plainName(l.Query), code(l.Type, "TYPE", dns.StringToType), code(l.Class, "CLASS", dns.StringToClass))
	for _, q := range l.More {
		text += fmt.Sprintf(", %s %d %d", plainName(q.Name), code(q.Type, "TYPE", dns.StringToType), code(q.Class, "CLASS", dns.StringToClass))
	}
	return text
}

func (l *ourLine) edns() string {
	e := l.EDNS
	if e == nil {
		return ""
	}
	subnet, codes := "", []string{}
	if e.Subnet != "" {
		network, bits, _ := strings.Cut(e.Subnet, "/")
		subnet = fmt.Sprintf("%s/%s/%d", network, bits, e.Scope)
	}
	for _, r := range e.Errors {
		codes = append(codes, strconv.Itoa(r.Code))
	}
	do := boolToInt(len(e.Flags) > 0 && e.Flags[0] == "DO")
	return fmt.Sprintf("%d v%d do %d subnet %s errors %v", e.Size, e.Version, do, subnet, codes)
}

func epochOf(t *testing.T, text string) string {
	t.Helper()
	moment, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d.%09d", moment.Unix(), moment.Nanosecond())
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func code[N int | uint16](text, prefix string, names map[string]N) N {
	if text == "BADVERS" {
		return dns.RcodeBadVers
	}
	if n, ok := names[text]; ok {
		return n
	}
	n, _ := strconv.Atoi(strings.TrimPrefix(text, prefix))
	return N(n)
}

// plainName undoes the escapes of a name: tshark has none.
func plainName(name string) string {
	var plain []byte
	for i := 0; i < len(name); i++ {
		if name[i] == '\\' && i+3 < len(name) && name[i+1] >= '0' && name[i+1] <= '2' {
			n, _ := strconv.Atoi(name[i+1 : i+4])
			plain, i = append(plain, byte(n)), i+3
			continue
		}
		plain = append(plain, name[i])
	}
	return string(plain)
}

// compare holds our lines against what tshark says, message by message.
func compare(t *testing.T, path string) {
	t.Helper()
	want, got := tsharkTells(t, path), linesTell(t, path)
	if len(want) == 0 {
		t.Fatal("tshark tells of no message")
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i].line != want[i].line {
			t.Fatalf("message %d of %d, of tshark's %d:\nours   %s\ntshark %s", i, len(got), len(want), got[min(i, len(got)-1)].line, want[min(i, len(want)-1)].line)
		}
		if w := want[i].waited; !want[i].odd && math.Abs(got[i].waited-w) > 1e-6 {
			t.Errorf("message %d: waited %v ms, tshark says %v: %s", i, got[i].waited, w, got[i].line)
		}
	}
}

func trafficFile(t *testing.T, o capturetest.TrafficOptions, format capturetest.Format) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "traffic.pcap")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := capturetest.NewTraffic(11, o).Write(f, format, nil); err != nil {
		t.Fatal(err)
	}
	return path
}

// Every line says what tshark says of the same message, on whatever a house sends,
// in every format and of every link type.
func TestTsharkTellsTheSame(t *testing.T) {
	compare(t, trafficFile(t, capturetest.TrafficOptions{Packets: 1000, TCP: 30_000, Large: 20_000, Multicast: 30_000}, capturetest.Format{Link: 1}))
	for name, format := range map[string]capturetest.Format{
		"microseconds": {Link: 1, Micro: true}, "pcapng": {Link: 1, NG: true},
		"cooked": {Link: 113}, "cooked 2": {Link: 276}, "raw": {Link: 101}, "null": {Link: 0}, "loop": {Link: 108},
	} {
		t.Run(name, func(t *testing.T) {
			compare(t, trafficFile(t, capturetest.TrafficOptions{Packets: 150, TCP: 30_000, Large: 20_000, Multicast: 30_000}, format))
		})
	}
}

// Where waits are not what tshark says: as docs/GUIDE.md tells.
func TestWaitsThatDifferFromTshark(t *testing.T) {
	for name, test := range map[string]struct {
		write        func(w *capturetest.Writer)
		ours, tshark float64 // milliseconds, of the last message; negative: none
	}{
		"a query repeated after 6 s": {func(w *capturetest.Writer) {
			w.Query(query)
			w.Frame(query.Time.Add(6*time.Second), query.QueryFrame())
			w.Frame(query.Time.Add(7*time.Second), query.ResponseFrame())
		}, 7000, 1000},
		"a response to another question": {func(w *capturetest.Writer) {
			other := query
			other.Name, other.Answers = "other.example.org", nil
			w.Query(query)
			w.Frame(query.Time.Add(time.Second), other.ResponseFrame())
		}, -1, 1000},
		"a response after 31 s": {func(w *capturetest.Writer) {
			w.Query(query)
			w.Frame(query.Time.Add(31*time.Second), query.ResponseFrame())
		}, -1, 31000},
	} {
		path := file(t, test.write)
		want, got := tsharkTells(t, path), linesTell(t, path)
		if last := len(got) - 1; last != len(want)-1 || got[last].waited != test.ours || want[last].waited != test.tshark {
			t.Errorf("%s: got %v, tshark says %v; want %v and %v", name, got[last].waited, want[last].waited, test.ours, test.tshark)
		}
	}
}
