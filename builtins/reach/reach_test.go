package reach

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"larkspur/engine"
)

func policy(t *testing.T, allow, deny, connections []string, ports ...int) *Policy {
	t.Helper()
	p, err := NewPolicy(allow, deny, connections, ports)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPolicy(t *testing.T) {
	p := policy(t, []string{"10.1.0.0/16", "2001:db8:1::/48", "printer.example.org", "*.lan.example.org"},
		[]string{"8.8.8.0/24", "evil.example.org"}, []string{"192.168.1.1", "NAS.example.org.", "[2001:db8:2::1]"}, 8420)
	p.local = func() ([]net.Addr, error) {
		return []net.Addr{&net.IPNet{IP: net.ParseIP("192.168.1.1"), Mask: net.CIDRMask(24, 32)}}, nil
	}
	cases := []struct {
		host, to string
		refused  string // a part of the sentence, "" for let through
	}{
		{"example.org", "9.9.9.9:443", ""},
		{"example.org", "[2620:fe::fe]:443", ""},
		{"example.org", "[::ffff:9.9.9.9]:443", ""},
		{"example.org", "[64:ff9b::909:909]:443", ""},
		// Not public.
		{"example.org", "10.0.0.1:80", "is not a public address"},
		{"example.org", "127.0.0.1:80", "is not a public address"},
		{"example.org", "0.0.0.0:80", "is not a public address"},
		{"example.org", "100.64.0.1:80", "is not a public address"},
		{"example.org", "169.254.1.1:80", "is not a public address"},
		{"example.org", "172.31.0.1:80", "is not a public address"},
		{"example.org", "192.0.2.1:80", "is not a public address"},
		{"example.org", "192.168.1.2:80", "is not a public address"},
		{"example.org", "224.0.0.1:80", "is not a public address"},
		{"example.org", "255.255.255.255:80", "is not a public address"},
		{"example.org", "[::1]:80", "is not a public address"},
		{"example.org", "[::]:80", "is not a public address"},
		{"example.org", "[fe80::1%eth0]:80", "is not a public address"},
		{"example.org", "[fd00::1]:80", "is not a public address"},
		{"example.org", "[ff02::1]:80", "is not a public address"},
		{"example.org", "[2001:db8::1]:80", "is not a public address"},
		{"example.org", "[::ffff:10.0.0.1]:80", "is not a public address"},
		{"example.org", "[64:ff9b::a00:1]:80", "is not a public address"},
		{"example.org", "[2002:a00:1::1]:80", "is not a public address"},
		{"example.org", "[::10.0.0.1]:80", "is not a public address"},
		// Opened.
		{"example.org", "10.1.2.3:80", ""},
		{"example.org", "[2001:db8:1::7]:80", ""},
		{"printer.example.org", "10.0.0.9:631", ""},
		{"tv.lan.example.org", "10.0.0.9:80", ""},
		{"lan.example.org", "10.0.0.9:80", "is not a public address"},
		{"192.168.1.1", "192.168.1.1:443", ""},
		{"nas.example.org", "192.168.1.7:443", ""},
		{"2001:db8:2::1", "[2001:db8:2::1]:443", ""},
		// Closed.
		{"dns.google", "8.8.8.8:443", "is closed by egress.deny"},
		{"evil.example.org", "9.9.9.9:443", "is closed by egress.deny"},
		{"dns.google", "[64:ff9b::808:808]:443", "is closed by egress.deny"},
		// Always refused.
		{"nas.example.org", "169.254.169.254:80", "metadata"},
		{"nas.example.org", "[fd00:ec2::254]:80", "metadata"},
		{"nas.example.org", "[::ffff:169.254.169.254]:80", "metadata"},
		{"nas.example.org", "[64:ff9b::a9fe:a9fe]:80", "metadata"},
		{"example.org", "168.63.129.16:80", "metadata"},
		{"nas.example.org", "127.0.0.1:8420", "a port of this program"},
		{"192.168.1.1", "192.168.1.1:8420", "a port of this program"},
		{"example.org", "9.9.9.9:8420", ""},
	}
	for _, test := range cases {
		err := p.Check(test.host, netip.MustParseAddrPort(test.to))
		switch {
		case test.refused == "" && err != nil:
			t.Errorf("%s at %s: got %v, want it let through", test.host, test.to, err)
		case test.refused != "" && (err == nil || engine.KindOf(err) != engine.Denied || !strings.Contains(err.Error(), test.refused)):
			t.Errorf("%s at %s: got %v, want %s", test.host, test.to, err, test.refused)
		}
	}
}

func TestPolicyMistakes(t *testing.T) {
	for _, bad := range []string{"", "10.0.0.0/33", "https://example.org", "a b"} {
		if _, err := NewPolicy(nil, []string{bad}, nil, nil); err == nil || !strings.HasPrefix(err.Error(), "egress.deny: got ") {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

// nameServer answers every name with the addresses of its list, over a pipe.
func nameServer(t *testing.T, answers ...string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	server := &dns.Server{PacketConn: conn, NotifyStartedFunc: func() { close(ready) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		for _, a := range answers {
			if q.Question[0].Qtype == dns.TypeA {
				rr, _ := dns.NewRR(q.Question[0].Name + " 60 IN A " + a)
				m.Answer = append(m.Answer, rr)
			}
		}
		if len(answers) == 0 {
			m.Rcode = dns.RcodeNameError
		}
		w.WriteMsg(m)
	})}
	done := make(chan error, 1)
	go func() { done <- server.ActivateAndServe() }()
	<-ready
	t.Cleanup(func() { server.Shutdown(); <-done })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// A public name that resolves to an address inside is refused after resolution:
// DNS rebinding gains nothing.
func TestDialChecksWhatANameResolvesTo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	cases := []struct {
		connections []string
		answers     []string
		kind        engine.Kind
		cause       string
	}{
		{nil, []string{"127.0.0.1"}, engine.Denied, ""},
		{[]string{"inside.example.org"}, []string{"127.0.0.1"}, "", ""},
		{[]string{"inside.example.org"}, []string{"169.254.169.254"}, engine.Denied, ""},
		{nil, nil, engine.Unavailable, "name"},
	}
	for _, test := range cases {
		d := &Dialer{Policy: policy(t, nil, nil, test.connections), Resolver: nameServer(t, test.answers...)}
		conn, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort("inside.example.org", port))
		if err == nil {
			conn.Close()
			if test.kind != "" {
				t.Errorf("%+v: connected", test)
			}
			continue
		}
		if e := Fault(err, "dialing", ""); e.Kind != test.kind || e.Cause != test.cause {
			t.Errorf("%+v: got %+v", test, e)
		}
	}
}

func TestParsePin(t *testing.T) {
	var want Pin
	for i := range want {
		want[i] = byte(i * 7)
	}
	digits := hex.EncodeToString(want[:])
	for _, good := range []string{"sha256:" + digits, "sha256:" + strings.ToUpper(digits), "sha256:" + digits[:2] + ":" + digits[2:],
		"sha256:" + base64.StdEncoding.EncodeToString(want[:]), "sha256:" + base64.RawStdEncoding.EncodeToString(want[:]), want.String()} {
		if got, err := ParsePin(good); err != nil || got != want {
			t.Errorf("%s: got %v, %v", good, got, err)
		}
	}
	for _, bad := range []string{"", digits, "sha256:", "sha256:" + digits[2:], "sha1:" + digits, "sha256:zz"} {
		if _, err := ParsePin(bad); engine.KindOf(err) != engine.Invalid {
			t.Errorf("%s: got %v, want invalid", bad, err)
		}
	}
}

func FuzzPin(f *testing.F) {
	f.Add("sha256:" + strings.Repeat("ab", 32))
	f.Add("sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePin(text)
		if err != nil {
			return
		}
		if again, err := ParsePin(p.String()); err != nil || again != p {
			t.Fatalf("%q: got %v, %v after writing", text, again, err)
		}
	})
}
