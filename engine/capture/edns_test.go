package capture

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net"
	"reflect"
	"slices"
	"testing"

	"github.com/miekg/dns"
)

// withOPT returns a response with an OPT record that has these options.
func withOPT(t *testing.T, options ...dns.EDNS0) []byte {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion("example.org.", dns.TypeA)
	m.Response = true
	m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "example.org.", Rrtype: dns.TypeA, Class: 1}, A: []byte{192, 0, 2, 1}}}
	m.Ns = []dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: "example.org.", Rrtype: dns.TypeNS, Class: 1}, Ns: "ns.example.org."}}
	m.Extra = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "ns.example.org.", Rrtype: dns.TypeA, Class: 1}, A: []byte{192, 0, 2, 2}}}
	m.SetEdns0(1232, true)
	m.IsEdns0().Option = options
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestEDNS(t *testing.T) {
	m := message(t, withOPT(t,
		&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, SourceScope: 16, Address: net.IP{192, 0, 2, 0}},
		&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 2, SourceNetmask: 48, Address: net.ParseIP("2001:db8::")},
		&dns.EDNS0_EDE{InfoCode: 15, ExtraText: "on a list\xff"},
		&dns.EDNS0_EDE{InfoCode: 4000},
		&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "24a5ac1234567890"},
		&dns.EDNS0_NSID{Code: dns.EDNS0NSID, Nsid: "6e73"},
		&dns.EDNS0_PADDING{Padding: make([]byte, 31)},
		&dns.EDNS0_LOCAL{Code: 65001, Data: []byte{0xab}},
	))
	want := map[string]any{
		"udp_size": int64(1232), "version": int64(0), "flags": []any{"DO"},
		"client_subnet": "192.0.2.0/24", "client_subnet_scope": int64(16),
		"errors": []any{
			map[string]any{"code": int64(15), "name": "Blocked", "text": "on a list\ufffd"},
			map[string]any{"code": int64(4000), "name": "", "text": ""},
		},
		"options": []any{
			map[string]any{"code": int64(8), "name": "CLIENT-SUBNET", "data": "0002300020010db80000"},
			map[string]any{"code": int64(10), "name": "COOKIE", "data": "24a5ac1234567890"},
			map[string]any{"code": int64(3), "name": "NSID", "data": "6e73"},
			map[string]any{"code": int64(12), "name": "PADDING", "length": int64(31)},
			map[string]any{"code": int64(65001), "name": "OPT65001", "data": "ab"},
		},
	}
	if got := m.Fields()["edns"]; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestSubnets(t *testing.T) {
	for data, want := range map[string]string{
		"00011800c00002":                           "192.0.2.0/24 0",
		"00011918c0000280":                         "192.0.2.128/25 24",
		"000119180a0000ff":                         "10.0.0.128/25 24", // what lies behind the network is no part of it
		"00010000":                                 "0.0.0.0/0 0",
		"00023830" + "20010db8000001":              "2001:db8:0:100::/56 48",
		"0002800020010db80000000000000000000000ff": "2001:db8::ff/128 0",
		"0002800020010db8000000000000000000ff":     "",
		"00020000":                                 "::/0 0",
		"000121000a00000000":                       "", // 33 bits
		"000118000a00":                             "", // fewer bytes than bits
		"00000000":                                 "", // no family
		"000118":                                   "",
	} {
		raw, _ := hex.DecodeString(data)
		network, scope, ok := Option{Code: optionSubnet, Data: raw}.Subnet()
		got := ""
		if ok {
			got = fmt.Sprint(network, scope)
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", data, got, want)
		}
	}
}

// What is wrong with an OPT record, or before it, leaves the message as it is.
func TestMalformedEDNS(t *testing.T) {
	whole := withOPT(t, &dns.EDNS0_LOCAL{Code: 65001, Data: []byte{1, 2}}, &dns.EDNS0_LOCAL{Code: 65002, Data: []byte{3, 4}})
	cutOption := slices.Clone(whole)
	cutOption[len(cutOption)-3] = 3 // one byte more than there is
	e, ok := message(t, cutOption).EDNS()
	if others := e.Others(); !ok || len(others) != 1 || others[0].Code != 65001 {
		t.Errorf("an option that is cut: got %v, %v; want the one before it", others, ok)
	}
	for cut := len(whole) - 1; cut > len(whole)-20; cut-- {
		m := message(t, whole[:cut])
		if _, ok := m.EDNS(); ok {
			t.Errorf("cut to %d of %d bytes: want no EDNS", cut, len(whole))
		}
		if records, err := m.Records(); err != nil || len(records) != 1 {
			t.Errorf("cut to %d of %d bytes: records: got %v, %v", cut, len(whole), records, err)
		}
	}
	named := bytes.Replace(whole, []byte("\x00\x00\x29"), []byte("\xc0\x0c\x00\x29"), 1) // the name of OPT is the root
	if _, ok := message(t, named).EDNS(); ok {
		t.Error("an OPT record with a name: want no EDNS")
	}
}
