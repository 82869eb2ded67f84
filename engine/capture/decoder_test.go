package capture

import (
	"net/netip"
	"slices"
	"testing"

	"larkspur/engine/capture/capturetest"
)

func ipQuery(n int) []byte {
	l := lookup(n)
	return capturetest.IP(client, server, capturetest.ProtoUDP, 1, capturetest.UDP(client, server, l.Query()))
}

func ip6Query(n int) []byte {
	l := lookup(n)
	return capturetest.IP(client6, server6, capturetest.ProtoUDP, 1, capturetest.UDP(client6, server6, l.Query()))
}

func TestLinkTypes(t *testing.T) {
	cat := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	sll := []byte{0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 7, 0, 0, 0x08, 0x00}
	sll2 := []byte{0x86, 0xdd, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 2, 0, 0, 0, 0, 7, 0, 0}
	sllVLAN := cat(sll[:14], []byte{0x81, 0, 0, 9, 0x08, 0})
	sllLoopback := cat([]byte{0, 0, 3, 4}, sll[4:])
	for name, test := range map[string]struct {
		link LinkType
		data []byte
		mac  string
	}{
		"ethernet":       {LinkEthernet, capturetest.Ethernet(client, server, nil, ipQuery(1)), "02:00:00:00:00:07"},
		"raw 4":          {LinkRaw, ipQuery(1), ""},
		"raw 6":          {LinkRaw, ip6Query(1), ""},
		"raw bsd":        {LinkRawBSD, ipQuery(1), ""},
		"ipv4":           {LinkIPv4, ipQuery(1), ""},
		"ipv6":           {LinkIPv6, ip6Query(1), ""},
		"cooked":         {LinkLinuxSLL, cat(sll, ipQuery(1)), "02:00:00:00:00:07"},
		"cooked, tagged": {LinkLinuxSLL, cat(sllVLAN, ipQuery(1)), "02:00:00:00:00:07"},
		"cooked, lo":     {LinkLinuxSLL, cat(sllLoopback, ipQuery(1)), ""},
		"cooked 2":       {LinkLinuxSLL2, cat(sll2, ip6Query(1)), "02:00:00:00:00:07"},
		"null, little":   {LinkNull, cat([]byte{2, 0, 0, 0}, ipQuery(1)), ""},
		"null, big":      {LinkNull, cat([]byte{0, 0, 0, 30}, ip6Query(1)), ""},
		"loop":           {LinkLoop, cat([]byte{0, 0, 0, 24}, ip6Query(1)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			messages, stats := decode(test.link, test.data)
			if len(messages) != 1 {
				t.Fatalf("got %d messages, want 1 (%+v)", len(messages), stats)
			}
			m := messages[0]
			if got := m.ClientMAC.String(); got != test.mac {
				t.Errorf("client MAC: got %q, want %q", got, test.mac)
			}
			if m.Client.Port() != 40000 || m.Server.Port() != 53 || string(m.Name) != "host1.example.org" {
				t.Errorf("got %s to %s for %s", m.Client, m.Server, m.Name)
			}
		})
	}
}

func TestClientIsWhoAsked(t *testing.T) {
	l := lookup(1)
	messages, _ := decode(LinkEthernet, l.QueryFrame(), l.ResponseFrame())
	if len(messages) != 2 {
		t.Fatalf("got %d messages, want 2", len(messages))
	}
	for i, m := range messages {
		if m.Client != client.Addr || m.Server != server.Addr || m.ClientMAC != MAC(client.MAC) || m.Response() != (i == 1) || m.Proto != UDP {
			t.Errorf("message %d: got client %s %s, server %s, response %v", i, m.Client, m.ClientMAC, m.Server, m.Response())
		}
	}
}

func TestMulticastResponseHasNoClientMAC(t *testing.T) {
	from := capturetest.At(9, "192.0.2.9:5353")
	to := capturetest.Endpoint{MAC: [6]byte{1, 0, 0x5e, 0, 0, 0xfb}, Addr: netip.MustParseAddrPort("224.0.0.251:5353")}
	messages, _ := decode(LinkEthernet, capturetest.Datagram(from, to, nil, lookup(1).Response()), capturetest.Datagram(from, to, nil, lookup(1).Query()))
	if len(messages) != 2 || messages[0].Service != MDNS || !messages[0].ClientMAC.IsZero() || messages[1].ClientMAC != MAC(from.MAC) {
		t.Errorf("got %+v", messages)
	}
}

func TestServices(t *testing.T) {
	for _, test := range []struct {
		client, server uint16
		want           Service
	}{
		{40000, 53, DNS}, {5353, 53, DNS}, {5355, 53, DNS}, {5353, 5353, MDNS}, {40000, 5353, MDNS},
		{40000, 5355, LLMNR}, {5355, 40000, LLMNR}, {53, 5353, MDNS}, {40000, 5335, DNS},
	} {
		if got := serviceOf(test.server, test.client); got != test.want {
			t.Errorf("%d to %d: got %s, want %s", test.client, test.server, got, test.want)
		}
	}
}

func TestMDNSClassWithoutTopBit(t *testing.T) {
	to := capturetest.At(9, "224.0.0.251:5353")
	query := lookup(1).Query()
	query[len(query)-2] |= 0x80
	messages, _ := decode(LinkEthernet, capturetest.Datagram(client, to, nil, query), capturetest.Datagram(client, server, nil, query))
	if got := messages[0].ClassName(); got != "IN" {
		t.Errorf("mdns: got %s, want IN", got)
	}
	if got := messages[1].ClassName(); got != "CLASS32769" {
		t.Errorf("dns: got %s, want CLASS32769", got)
	}
}

func TestVLANTags(t *testing.T) {
	for _, vlans := range [][]uint16{nil, {7}, {100, 7}, {1, 2, 3, 4}} {
		messages, stats := decode(LinkEthernet, capturetest.Ethernet(client, server, vlans, ipQuery(1)))
		if len(messages) != 1 || !slices.Equal(messages[0].VLANs.IDs(), vlans) {
			t.Errorf("%v: got %v (%+v)", vlans, messages, stats)
		}
	}
	_, stats := decode(LinkEthernet, capturetest.Ethernet(client, server, []uint16{1, 2, 3, 4, 5}, ipQuery(1)))
	wantCount(t, stats.Undecodable, BadVLAN, 1)
}

func TestTagTakenOffByTheKernelComesFirst(t *testing.T) {
	d := NewDecoder()
	data := capturetest.Ethernet(client, server, []uint16{7}, ipQuery(1))
	d.Decode(&Frame{Link: LinkEthernet, Data: data, Length: len(data), VLANs: VLANs{100}})
	m := d.Next()
	if m == nil || m.VLANs != (VLANs{100, 7}) {
		t.Errorf("got %v, want 100 and 7", m)
	}
}

// ip6With returns an IPv6 packet with extension headers before its UDP.
func ip6With(next uint8, headers ...[]byte) []byte {
	return capturetest.IP(client6, server6, next, 0, append(slices.Concat(headers...), capturetest.UDP(client6, server6, lookup(1).Query())...))
}

func extension(next uint8, size int) []byte {
	h := make([]byte, size)
	h[0], h[1] = next, byte(size/8-1)
	return h
}

func TestIPv6Extensions(t *testing.T) {
	auth := make([]byte, 16)
	auth[0], auth[1] = 17, 2
	atomic := []byte{17, 0, 0, 0, 0, 0, 0, 1}
	many := make([][]byte, maxExtensions+1)
	for i := range many {
		many[i] = extension(60, 8)
	}
	many[len(many)-1][0] = 17
	for name, test := range map[string]struct {
		packet []byte
		want   Reason // reasons: a message
	}{
		"hop by hop":     {ip6With(0, extension(17, 8)), reasons},
		"three":          {ip6With(0, extension(43, 8), extension(60, 24), extension(17, 16)), reasons},
		"authentication": {ip6With(51, auth), reasons},
		"atomic":         {ip6With(44, atomic), reasons},
		"two fragment":   {ip6With(44, []byte{44, 0, 0, 0, 0, 0, 0, 1}, atomic), BadExtension},
		"too many":       {ip6With(60, many...), BadExtension},
		"cut":            {ip6With(0, []byte{17, 200, 0, 0, 0, 0, 0, 0}), BadExtension},
		"icmp":           {ip6With(58), NotUDPTCP},
		"esp":            {ip6With(0, extension(50, 8)), NotUDPTCP},
	} {
		t.Run(name, func(t *testing.T) {
			messages, stats := decode(LinkRaw, test.packet)
			if test.want == reasons {
				if len(messages) != 1 {
					t.Fatalf("got no message (%+v)", stats)
				}
				return
			}
			wantCount(t, stats.class(test.want), test.want, 1)
		})
	}
}

func TestWhatIsNoMessageIsCounted(t *testing.T) {
	frame := func(change func(ip []byte)) []byte {
		ip := ipQuery(1)
		change(ip)
		return capturetest.Ethernet(client, server, nil, ip)
	}
	payload := func(raw []byte) []byte { return capturetest.Datagram(client, server, nil, raw) }
	query := lookup(1).Query()
	longName := append(slices.Clone(query[:12]), slices.Repeat(append([]byte{63}, make([]byte, 63)...), 5)...)
	for name, test := range map[string]struct {
		frame []byte
		want  Reason
	}{
		"short frame":       {make([]byte, 13), BadLink},
		"arp":               {append(make([]byte, 12), 8, 6, 0, 1), NotIP},
		"icmp":              {frame(func(ip []byte) { ip[9] = 1 }), NotUDPTCP},
		"version":           {frame(func(ip []byte) { ip[0] = 0x55 }), BadIP},
		"header length":     {frame(func(ip []byte) { ip[0] = 0x44 }), BadIP},
		"total length":      {frame(func(ip []byte) { ip[2], ip[3] = 0, 19 }), BadIP},
		"other port":        {frame(func(ip []byte) { ip[22], ip[23] = 1, 187 }), OtherPort},
		"udp length":        {frame(func(ip []byte) { ip[24], ip[25] = 0, 7 }), BadUDP},
		"udp too long":      {frame(func(ip []byte) { ip[24], ip[25] = 9, 0 }), BadUDP},
		"nothing":           {payload(nil), BadHeader},
		"11 bytes":          {payload(query[:11]), BadHeader},
		"header only":       {payload(query[:12]), BadQuestion},
		"cut name":          {payload(query[:20]), BadQuestion},
		"no class":          {payload(query[:len(query)-2]), BadQuestion},
		"pointer to itself": {payload(append(slices.Clone(query[:12]), 0xc0, 12, 0, 1, 0, 1)), BadQuestion},
		"pointer forward":   {payload(append(slices.Clone(query[:12]), 0xc0, 20, 0, 1, 0, 1, 0, 0, 0)), BadQuestion},
		"label type":        {payload(append(slices.Clone(query[:12]), 0x41, 0, 0, 1, 0, 1)), BadQuestion},
		"long name":         {payload(longName), BadQuestion},
	} {
		t.Run(name, func(t *testing.T) {
			messages, stats := decode(LinkEthernet, test.frame)
			if len(messages) != 0 {
				t.Errorf("got %d messages, want none", len(messages))
			}
			wantCount(t, stats.class(test.want), test.want, 1)
			if n := len(stats.Ignored) + len(stats.Undecodable) + len(stats.Lost); n != 1 {
				t.Errorf("got %d counters, want 1: %+v", n, stats)
			}
		})
	}
}

func TestUnknownLinkTypeIsCounted(t *testing.T) {
	_, stats := decode(LinkType(147), ipQuery(1))
	wantCount(t, stats.Undecodable, BadLink, 1)
}

func TestCaptureOfBeginningsOnly(t *testing.T) {
	const question = 14 + 20 + 8 + 12 + 19 + 4
	l := lookup(1)
	for _, test := range []struct {
		snap int
		want int
	}{{question, 2}, {question - 1, 0}, {30, 0}, {15, 0}} {
		data := written(capturetest.Format{Link: 1, Snap: test.snap}, func(w *capturetest.Writer) { w.Exchange(l) })
		messages, stats := mustRead(t, data)
		if len(messages) != test.want {
			t.Errorf("%d bytes of each frame: got %d messages, want %d", test.snap, len(messages), test.want)
		}
		wantCount(t, stats.Undecodable, CutByCapture, uint64(2-test.want))
		if test.want == 0 {
			continue
		}
		if _, err := messages[1].Records(); err == nil || !messages[1].Cut {
			t.Errorf("cut answers: got error %v and Cut %v, want an error and true", err, messages[1].Cut)
		}
	}
}

func TestPaddingIsNoPartOfTheMessage(t *testing.T) {
	messages, _ := decode(LinkEthernet, append(lookup(1).QueryFrame(), 1, 2, 3, 4, 5, 6))
	if len(messages) != 1 || !slices.Equal(messages[0].Raw, lookup(1).Query()) {
		t.Errorf("got %v", messages)
	}
}

func TestOtherPorts(t *testing.T) {
	d := NewDecoder(5335)
	to := capturetest.At(53, "192.0.2.53:5335")
	for _, frame := range [][]byte{lookup(1).QueryFrame(), capturetest.Datagram(client, to, nil, lookup(2).Query())} {
		d.Decode(&Frame{Link: LinkEthernet, Data: frame, Length: len(frame)})
	}
	m := d.Next()
	if m == nil || m.ID != 2 || d.Next() != nil {
		t.Errorf("got %v, want only the message to port 5335", m)
	}
}

func TestPlainDecodingDoesNotAllocate(t *testing.T) {
	d := NewDecoder()
	query, response := lookup(1).QueryFrame(), lookup(1).ResponseFrame()
	run := func() {
		for _, data := range [][]byte{query, response} {
			d.Decode(&Frame{Time: start, Link: LinkEthernet, Data: data, Length: len(data)})
			for d.Next() != nil {
			}
		}
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("got %v allocations for two frames, want 0", n)
	}
}
