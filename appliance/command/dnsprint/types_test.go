package dnsprint

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"larkspur/engine/capture/capturetest"

	"github.com/miekg/dns"
)

// samples are data of every type that miekg/dns knows, as in zone files.
var samples = map[uint16]string{
	dns.TypeA: "192.0.2.1", dns.TypeAAAA: "2001:db8::1", dns.TypeAFSDB: "1 Host.example.", dns.TypeAMTRELAY: "10 0 3 Host.example.",
	dns.TypeAPL: "1:192.0.2.0/24 !2:2001:db8::/32", dns.TypeAVC: `"app-name:WOLFGANG|app-class:OAM" "more"`, dns.TypeCAA: `128 issue "ca.example; a=b"`,
	dns.TypeCDNSKEY: "257 3 8 AwEAAcNE", dns.TypeCDS: "60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118",
	dns.TypeCERT: "PKIX 1 RSASHA256 AwEAAcNE", dns.TypeCNAME: "Host.example.", dns.TypeCSYNC: "66 3 A NS AAAA", dns.TypeDHCID: "AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=",
	dns.TypeDLV: "60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118", dns.TypeDNAME: "Host.example.", dns.TypeDNSKEY: "256 3 13 AwEAAcNE",
	dns.TypeDS: "60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118", dns.TypeEID: "abcd", dns.TypeEUI48: "00-00-5e-00-53-2a", dns.TypeEUI64: "00-00-5e-ef-10-00-00-2a",
	dns.TypeGID: "100", dns.TypeGPOS: "-32.6882 116.8652 10.0", dns.TypeHINFO: `"x86 \"64\"" "Debian"`,
	dns.TypeHIP:      "2 200100107B1A74DF365639CC39F1D578 AwEAAbdx Host.example.",
	dns.TypeHTTPS:    `1 Host.example. mandatory="alpn,port" alpn="h2,h3" port="8443" ipv4hint="192.0.2.1,192.0.2.2" ech="AEX+DQ==" ipv6hint="2001:db8::1" dohpath="/q{?dns}" key65280="a\"b"`,
	dns.TypeIPSECKEY: "10 3 2 Host.example. AQNRU3mG", dns.TypeISDN: `"150862028003217" "004"`, dns.TypeKEY: "256 3 13 AwEAAcNE", dns.TypeKX: "10 Host.example.",
	dns.TypeL32: "10 10.1.2.0", dns.TypeL64: "10 2001:0DB8:1140:1000", dns.TypeLOC: "51 30 12.748 N 00 07 39.611 W 10.00m 1m 10000m 10m",
	dns.TypeLP: "10 Host.example.", dns.TypeMB: "Host.example.", dns.TypeMD: "Host.example.", dns.TypeMF: "Host.example.", dns.TypeMG: "Host.example.",
	dns.TypeMINFO: "Host.example. Host.example.", dns.TypeMR: "Host.example.", dns.TypeMX: "10 Host.example.",
	dns.TypeNAPTR: `100 50 "s" "SIP+D2U" "!^.*$!sip:a\\.b@example!" Host.example.`, dns.TypeNID: "10 0014:4fff:ff20:ee64", dns.TypeNIMLOC: "abcd",
	dns.TypeNINFO: `"text"`, dns.TypeNS: "Host.example.", dns.TypeNSAPPTR: "Host.example.", dns.TypeNSEC: "Host.example. A MX RRSIG NSEC TYPE1234",
	dns.TypeNSEC3: "1 1 12 AABBCCDD 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR A RRSIG", dns.TypeNSEC3PARAM: "1 0 12 AABBCCDD", dns.TypeNXT: "Host.example. A MX",
	dns.TypeOPENPGPKEY: "AQNRU3mG", dns.TypePTR: "Host.example.", dns.TypePX: "10 Host.example. Host.example.", dns.TypeRESINFO: `"qnamemin" "exterr=15,16"`,
	dns.TypeRKEY: "256 3 13 AwEAAcNE", dns.TypeRP: "Host.example. Host.example.", dns.TypeRRSIG: "A 8 2 300 20261222000000 20261122000000 2642 Host.example. AQNRU3mG",
	dns.TypeRT: "10 Host.example.", dns.TypeSIG: "A 8 2 300 20261222000000 20261122000000 2642 Host.example. AQNRU3mG", dns.TypeSMIMEA: "3 1 1 ABCD",
	dns.TypeSOA: "Host.example. Host.example. 2026112201 7200 3600 1209600 300", dns.TypeSPF: `"v=spf1 -all"`, dns.TypeSRV: "1 2 443 Host.example.",
	dns.TypeSSHFP: "4 2 123456789ABCDEF67890123456789ABCDEF67890123456789ABCDEF123456789", dns.TypeSVCB: `16 Host.example. alpn="f\\\\oo\\,bar,h2"`,
	dns.TypeTA: "60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118", dns.TypeTALINK: "Host.example. Host.example.",
	dns.TypeTLSA: "3 1 1 ABCD", dns.TypeTXT: `"a\"b\\c" "\000\255é"`, dns.TypeUID: "100", dns.TypeUINFO: "info", dns.TypeURI: `10 1 "ftp://ftp.example/a"`,
	dns.TypeX25: "311061700956", dns.TypeZONEMD: "2018031500 1 1 FEBE3D4CE2EC2FFA4BA99D46CD69D6D29711E55217057BEE7EB1A7B641A47BA7FED2DD5B97AE499FAFA4F22C6BD647DE",
}

// textless are types whose data has no presentation form of its own.
var textless = map[uint16]dns.RR{
	dns.TypeNULL: &dns.NULL{Data: "\x01\x02"}, dns.TypeOPT: &dns.OPT{Option: []dns.EDNS0{&dns.EDNS0_LOCAL{Code: 65001, Data: []byte{1}}}},
	dns.TypeTSIG: &dns.TSIG{Algorithm: dns.HmacSHA256, TimeSigned: 1, MACSize: 2, MAC: "abcd"},
	dns.TypeANY:  &dns.ANY{}, dns.TypeNXNAME: &dns.NXNAME{}, dns.TypeTKEY: &dns.TKEY{Algorithm: dns.HmacSHA256, Mode: 3, KeySize: 2, Key: "abcd"},
}

// everyType returns a record of each type that miekg/dns knows, and of one that it
// does not.
func everyType(t *testing.T) (records []dns.RR) {
	t.Helper()
	kinds := []uint16{65280}
	for kind := range dns.TypeToRR {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		head := dns.RR_Header{Name: "host.example.", Rrtype: kind, Class: dns.ClassINET, Ttl: 300}
		rr := textless[kind]
		switch {
		case kind == 65280:
			rr = &dns.RFC3597{Rdata: "abcd"}
		case rr == nil && samples[kind] == "":
			t.Errorf("type %s: want a sample", dns.TypeToString[kind])
			continue
		case rr == nil:
			var err error
			if rr, err = dns.NewRR("host.example. 300 IN " + dns.TypeToString[kind] + " " + samples[kind]); err != nil {
				t.Errorf("%s: %v", dns.TypeToString[kind], err)
				continue
			}
		}
		*rr.Header() = head
		records = append(records, rr)
	}
	return records
}

// inMiekgsWords returns the data of a record as miekg/dns writes it, names in lower
// case and without the trailing dot; "" where it has no form for it.
func inMiekgsWords(t *testing.T, raw []byte) string {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(raw); err != nil {
		t.Fatal(err)
	}
	rr := m.Answer[0]
	text, found := strings.CutPrefix(rr.String(), rr.Header().String())
	if _, hidden := textless[rr.Header().Rrtype]; !found || hidden {
		return ""
	}
	return strings.ReplaceAll(text, "Host.example.", "host.example")
}

// Every type that miekg/dns knows is printed in presentation form, as miekg/dns
// would, and tshark reads the same capture without complaint.
func TestEveryTypeIsPrinted(t *testing.T) {
	records := everyType(t)
	l := query
	var want []string
	path := file(t, func(w *capturetest.Writer) {
		for i, rr := range records {
			m := new(dns.Msg)
			m.SetQuestion("host.example.", rr.Header().Rrtype)
			m.Id, m.Response, m.Compress, m.Answer = uint16(i), true, true, []dns.RR{rr}
			raw, err := m.Pack()
			if err != nil {
				t.Fatalf("%v: %v", rr, err)
			}
			want = append(want, inMiekgsWords(t, raw))
			w.Frame(l.Time.Add(time.Duration(i)*time.Millisecond), capturetest.Datagram(l.Server, l.Client, nil, raw))
		}
	})
	_, stdout, _ := run(t, nil, path)
	printed := strings.Split(strings.TrimSpace(stdout), "\n")
	if len(printed) != len(records) {
		t.Fatalf("got %d lines, want %d", len(printed), len(records))
	}
	for i, want := range want {
		var line ourLine
		if err := json.Unmarshal([]byte(printed[i]), &line); err != nil || len(line.Answers) != 1 {
			t.Fatalf("%s: %v", printed[i], err)
		}
		got := line.Answers[0].Data
		if want == "" && !strings.HasPrefix(got, `\# `) && got != "" || want != "" && got != want {
			t.Errorf("%s: got %s, want %s", line.Type, got, want)
		}
	}
	t.Run("tshark", func(t *testing.T) { tsharkKnowsTypes(t, path, records) })
}

// unknownToTshark are types that tshark takes for malformed, and why.
var unknownToTshark = map[uint16]string{}

func tsharkKnowsTypes(t *testing.T, path string, records []dns.RR) {
	tells, ours := tsharkTells(t, path), linesTell(t, path)
	if len(tells) != len(records) {
		t.Fatalf("tshark tells of %d messages, want %d", len(tells), len(records))
	}
	for i, rr := range records {
		kind := rr.Header().Rrtype
		if _, known := unknownToTshark[kind]; known != tells[i].malformed {
			t.Errorf("%s: malformed for tshark: %v", dns.TypeToString[kind], tells[i].malformed)
		}
		got, _, _ := strings.Cut(ours[i].line, " | ")
		want, record, _ := strings.Cut(tells[i].line, " | ")
		if got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", dns.TypeToString[kind], got, want)
		}
		if !strings.Contains(record, " ? of ") && kind != dns.TypeTXT && kind != dns.TypeHTTPS && kind != dns.TypeSVCB && ours[i].line != tells[i].line {
			t.Errorf("%s:\ngot  %s\nwant %s", dns.TypeToString[kind], ours[i].line, tells[i].line)
		}
	}
}
