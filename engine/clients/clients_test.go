package clients

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"larkspur/engine"
	"larkspur/engine/capture"
)

var (
	moment = time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
	tv     = capture.MAC{2, 0, 0, 0, 0, 7}
	phone  = capture.MAC{2, 0, 0, 0, 0, 8}
	seven  = netip.MustParseAddr("192.0.2.7")
)

type kept map[string]string

func (k kept) Get(key string) ([]byte, bool, error) {
	v, found := k[key]
	return []byte(v), found, nil
}

func (k kept) Set(key string, value []byte, _ time.Duration) error {
	k[key] = string(value)
	return nil
}

type clock struct{ engine.Clock }

func (clock) Now() time.Time { return moment }

func (c *Clients) wants(t *testing.T, addr netip.Addr, mac capture.MAC, name string, source Source) {
	t.Helper()
	got, _ := c.Lookup(addr, mac)
	if got.Name != name || got.Source != source || c.Name(addr, mac) != name {
		t.Errorf("%v, %v: got %q from %q, want %q from %q", addr, mac, got.Name, got.Source, name, source)
	}
}

// The owner's name wins over UniFi's, that over DHCP's, that over what is announced.
func TestPrecedence(t *testing.T) {
	store := kept{}
	c := New(clock{}, store)
	c.wants(t, seven, tv, "", "")
	c.Saw(seven, tv, moment)
	c.Learn(MDNS, seven, capture.MAC{}, "Announced", moment)
	c.wants(t, seven, tv, "Announced", MDNS)
	c.Leased(capture.Lease{Time: moment, MAC: tv, Addr: seven, Name: "tv-1234"})
	c.wants(t, seven, tv, "tv-1234", DHCP)
	c.wants(t, seven, capture.MAC{}, "tv-1234", DHCP)
	c.Learn(UniFi, netip.Addr{}, tv, "TV", moment)
	c.wants(t, seven, capture.MAC{}, "TV", UniFi)
	c.save()
	c = New(clock{}, store)
	c.wants(t, netip.MustParseAddr("::ffff:192.0.2.7"), capture.MAC{}, "TV", UniFi)
	c.Configure(map[string]string{"02:00:00:00:00:07": "living-room TV", "192.0.2.9": "printer"})
	c.wants(t, seven, tv, "living-room TV", Config)
	c.wants(t, netip.MustParseAddr("192.0.2.9"), phone, "printer", Config)
}

// Another device that gets the address does not get the name.
func TestAddressesChangeHands(t *testing.T) {
	c := New(clock{}, nil)
	c.Saw(seven, tv, moment)
	c.Learn(MDNS, seven, capture.MAC{}, "TV", moment)
	c.wants(t, seven, phone, "", "")
	c.Saw(seven, phone, moment)
	c.wants(t, seven, capture.MAC{}, "", "")
}

// A router's name is not that of all who are behind it.
func TestRouters(t *testing.T) {
	c := New(clock{}, nil)
	c.Learn(UniFi, netip.Addr{}, tv, "router", moment)
	for i := range 10 {
		c.Saw(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), tv, moment)
	}
	c.wants(t, seven, tv, "", "")
}

// What strangers say is bounded, in number and in form.
func TestStrangers(t *testing.T) {
	c := New(clock{}, nil)
	for i := range 3 * maxDevices {
		var addr [4]byte
		binary.BigEndian.PutUint32(addr[:], uint32(0xc6120000+i))
		at := moment.Add(time.Duration(i) * time.Second)
		c.Saw(netip.AddrFrom4(addr), capture.MAC{2, 1, addr[0], addr[1], addr[2], addr[3]}, at)
		c.Learn(MDNS, netip.AddrFrom4(addr), capture.MAC{}, fmt.Sprint("device ", i), at)
		c.Learn(DHCP, netip.Addr{}, capture.MAC{2, 1, addr[0], addr[1], addr[2], addr[3]}, fmt.Sprint("host", i), at)
	}
	if len(c.addrs) > maxDevices || len(c.macs) > maxDevices || len(c.held) > maxDevices {
		t.Errorf("got %d addresses, %d MACs, %d counts", len(c.addrs), len(c.macs), len(c.held))
	}
	for said, want := range map[string]string{
		"  Living\tRoom \n TV ":   "Living Room TV",
		"a\x1b[31mb\u202egnp.exe": "a[31mbgnp.exe",
		"\xff\xfe":                "",
		strings.Repeat("ü", 100):  strings.Repeat("ü", maxName),
		"\u200b":                  "",
	} {
		if got := clean(said); got != want {
			t.Errorf("%q: got %q, want %q", said, got, want)
		}
	}
}

// message makes an mDNS message, or one of DNS.
func message(t *testing.T, from, to string, records ...string) *capture.Message {
	t.Helper()
	msg := &dns.Msg{MsgHdr: dns.MsgHdr{Response: true}}
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		msg.Answer = append(msg.Answer, rr)
	}
	raw, err := msg.Pack()
	if err != nil {
		t.Fatal(err)
	}
	m := new(capture.Message)
	if err := capture.FromWire(m, capture.Wire{Time: moment, Client: netip.MustParseAddrPort(to), Server: netip.MustParseAddrPort(from), Raw: raw}); err != nil {
		t.Fatal(err)
	}
	return m
}

// A device may name itself by mDNS, and nobody else.
func TestAnnouncements(t *testing.T) {
	for name, c := range map[string]struct {
		records []string
		want    string
	}{
		"host":    {[]string{"living-room.local. 120 IN A 192.0.2.7"}, "living-room"},
		"another": {[]string{"bank.local. 120 IN A 192.0.2.99"}, ""},
		"cast":    {[]string{"x.local. 120 IN A 192.0.2.7", `Chromecast-abc._googlecast._tcp.local. 120 IN TXT "id=abc" "fn=Living Room TV"`}, "Living Room TV"},
		"airplay": {[]string{`Living\032Room._airplay._tcp.local. 120 IN SRV 0 0 7000 x.local.`, "x.local. 120 IN A 192.0.2.7"}, "Living Room"},
		"deep":    {[]string{"a.b.local. 120 IN A 192.0.2.7"}, ""},
		"global":  {[]string{"www.example.org. 120 IN A 192.0.2.7"}, ""},
	} {
		all := New(clock{}, nil)
		all.Observer().Observe(message(t, "192.0.2.7:5353", "224.0.0.251:5353", c.records...))
		if got := all.Name(seven, capture.MAC{}); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	all := New(clock{}, nil)
	all.Observer().Observe(message(t, "192.0.2.7:53", "192.0.2.8:40000", "living-room.local. 120 IN A 192.0.2.7"))
	if got := all.Name(seven, capture.MAC{}); got != "" {
		t.Errorf("by DNS: got %q", got)
	}
}

func FuzzAnnouncement(f *testing.F) {
	msg, _ := dns.NewRR(`Living\032Room._airplay._tcp.local. 120 IN SRV 0 0 7000 x.local.`)
	raw, _ := (&dns.Msg{MsgHdr: dns.MsgHdr{Response: true}, Answer: []dns.RR{msg}}).Pack()
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := new(capture.Message)
		from, to := netip.MustParseAddrPort("192.0.2.7:5353"), netip.MustParseAddrPort("224.0.0.251:5353")
		if capture.FromWire(m, capture.Wire{Time: moment, Client: to, Server: from, Raw: raw}) != nil {
			return
		}
		c := New(clock{}, nil)
		c.Observer().Observe(m)
		if name := c.Name(seven, capture.MAC{}); name != clean(name) {
			t.Errorf("got %q", name)
		}
	})
}
