package capture

import (
	"slices"
	"testing"

	"larkspur/engine/capture/capturetest"

	"golang.org/x/net/bpf"
)

// filters returns the filters for Ethernet and for raw IP.
func filters(t *testing.T, ports []uint16) (ether, raw *bpf.VM) {
	t.Helper()
	build := func(ethernet bool) *bpf.VM {
		code, err := kernelFilter(filterFor{ethernet: ethernet, ports: ports})
		if err != nil {
			t.Fatal(err)
		}
		instructions, ok := bpf.Disassemble(code)
		if !ok {
			t.Fatal("the filter has instructions that nobody knows")
		}
		vm, err := bpf.NewVM(instructions)
		if err != nil {
			t.Fatal(err)
		}
		return vm
	}
	return build(true), build(false)
}

func TestFilterPassesWhatTheDecoderWants(t *testing.T) {
	to := func(addr string) capturetest.Endpoint { return capturetest.At(9, addr) }
	udp := func(to capturetest.Endpoint) []byte {
		from := client
		if to.Addr.Addr().Is6() {
			from = client6
		}
		return capturetest.IP(from, to, capturetest.ProtoUDP, 1, capturetest.UDP(from, to, []byte("x")))
	}
	options := append([]byte{0x46}, ipQuery(1)[1:20]...)
	options = append(append(options, 1, 1, 1, 1), ipQuery(1)[20:]...)
	response := capturetest.IP(server, client, capturetest.ProtoUDP, 1, capturetest.UDP(server, client, nil))
	tcp := capturetest.IP(server6, client6, capturetest.ProtoTCP, 1, capturetest.Segment(server6, client6, 1, 1, capturetest.SYN, nil))
	for name, test := range map[string]struct {
		packet []byte
		want   bool
	}{
		"query":           {ipQuery(1), true},
		"query 6":         {ip6Query(1), true},
		"response":        {response, true},
		"tcp 6":           {tcp, true},
		"mdns":            {udp(to("224.0.0.251:5353")), true},
		"llmnr 6":         {udp(to("[ff02::1:3]:5355")), true},
		"ip options":      {options, true},
		"first fragment":  {capturetest.Fragment(server, client, capturetest.ProtoUDP, 1, 0, true, make([]byte, 8)), true},
		"last fragment":   {capturetest.Fragment(server, client, capturetest.ProtoUDP, 1, 800, false, make([]byte, 8)), true},
		"fragment 6":      {capturetest.Fragment(server6, client6, capturetest.ProtoUDP, 1, 800, false, make([]byte, 8)), true},
		"hop by hop":      {ip6With(0, extension(17, 8)), true},
		"ntp":             {udp(to("192.0.2.9:123")), false},
		"ntp 6":           {udp(to("[2001:db8::9]:123")), false},
		"icmp":            {capturetest.IP(client, server, 1, 1, make([]byte, 8)), false},
		"icmp fragment":   {capturetest.Fragment(server, client, 1, 1, 0, true, make([]byte, 8)), false},
		"icmp 6":          {capturetest.IP(client6, server6, 58, 1, make([]byte, 8)), false},
		"53 in the data":  {capturetest.IP(client, server, 1, 1, []byte{0, 53, 0, 53}), false},
		"cut before port": {ipQuery(1)[:21], false},
	} {
		t.Run(name, func(t *testing.T) {
			ether, raw := filters(t, defaultPorts)
			for _, vlans := range [][]uint16{nil, {7}, {100, 7}} {
				if n, err := ether.Run(capturetest.Ethernet(client, server, vlans, test.packet)); err != nil || (n > 0) != test.want {
					t.Errorf("VLANs %v: got %d, %v; want it accepted: %v", vlans, n, err, test.want)
				}
			}
			if n, err := raw.Run(test.packet); err != nil || (n > 0) != test.want {
				t.Errorf("raw: got %d, %v; want it accepted: %v", n, err, test.want)
			}
		})
	}
}

func TestFilterOfManyPorts(t *testing.T) {
	var ports []uint16
	for port := range uint16(MaxPorts) {
		ports = append(ports, 1000+port)
	}
	ether, _ := filters(t, ports)
	for _, port := range []uint16{1000, 1000 + MaxPorts - 1} {
		frame := lookup(1).QueryFrame()
		copy(frame[14+20+2:], []byte{byte(port >> 8), byte(port)})
		if n, _ := ether.Run(frame); n == 0 {
			t.Errorf("port %d: not accepted", port)
		}
	}
	if _, err := kernelFilter(filterFor{ethernet: true, ports: append(slices.Clone(ports), 53)}); err == nil {
		t.Error("one port more: got no error")
	}
}
