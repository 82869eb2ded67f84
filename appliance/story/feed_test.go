package story

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"larkspur/engine/capture/capturetest"

	"github.com/miekg/dns"
)

// TestNetflixFromDnstap plays the story from what a real unbound sends, while other
// DNS passes a sensor of the same Larkspur; nothing is lost anywhere.
func TestNetflixFromDnstap(t *testing.T) {
	if os.Getenv(inside) == "" {
		if _, err := exec.LookPath("/usr/sbin/unbound"); err != nil {
			needs(t, "unbound", "Debian's package unbound")
		}
		enclosed(t, "TestNetflixFromDnstap")
		return
	}
	dir := t.TempDir()
	socket := filepath.Join(dir, "tap.sock")
	w := wire(t, "  - dns: {interface: span0}\n  - dnstap: {listen: \"unix:"+socket+"\"}\nclients: {192.0.2.7: the television}\n")
	resolver := openUnbound(t, dir, socket)
	passed := w.span.flood(t)
	w.play(t, func(t *testing.T) {
		t.Helper()
		for _, l := range lookups(t) {
			resolver.asks(t, w.alive, l)
		}
	})
	w.wantStory(t, w.alive, "unix:"+socket)
	sent, rate := passed()
	w.wantNoLoss(t, "span0", sent)
	w.wantName(t, "the television")
	t.Logf("%d frames passed, %.0f a second", sent, rate)
}

// TestNetflixFromALog plays it from the log of passivedns, whose lines come while
// Larkspur runs, also while other DNS passes.
func TestNetflixFromALog(t *testing.T) {
	if os.Getenv(inside) == "" {
		enclosed(t, "TestNetflixFromALog")
		return
	}
	path := filepath.Join(t.TempDir(), "passivedns.log")
	w := wire(t, "  - dns: {interface: span0}\n  - passivedns: {file: "+path+"}\nclients: {192.0.2.7: the television}\n")
	passed := w.span.flood(t)
	w.play(t, func(t *testing.T) {
		t.Helper()
		var text strings.Builder
		for _, l := range lookups(t) {
			fmt.Fprintf(&text, "%d.%06d||%s||%s||IN||%s.||A||192.0.2.99||60||1\n", l.Time.Unix(), l.Time.Nanosecond()/1000, l.Client.Addr.Addr(), l.Server.Addr.Addr(), l.Name)
		}
		must(t, os.WriteFile(path, []byte(text.String()), 0o600))
	})
	w.wantStory(t, w.alive, path)
	sent, rate := passed()
	w.wantNoLoss(t, "span0", sent)
	w.wantName(t, "the television")
	t.Logf("%d frames passed, %.0f a second", sent, rate)
}

// wantName wants the event of the incident to say what the client is called.
func (w *wired) wantName(t *testing.T, name string) {
	t.Helper()
	i, err := w.client().story(w.alive)
	must(t, err)
	if e := w.events(t, w.alive, i.ID); e[0]["client_name"] != name {
		t.Errorf("got the event %v, want its client called %q", e[0], name)
	}
}

// events are the fields of an incident's events, at least one.
func (h *house) events(t *testing.T, ctx context.Context, incident string) (fields []map[string]any) {
	t.Helper()
	var events list[struct{ Fields map[string]any }]
	must(t, h.client().get(ctx, "/api/v1/incidents/"+incident+"/events", &events))
	for _, e := range events.Items {
		fields = append(fields, e.Fields)
	}
	if len(fields) == 0 {
		t.Fatalf("incident %s has no events", incident)
	}
	return fields
}

// unbound is a running resolver on 127.0.0.1, which the devices of the house reach.
type unbound struct{ address string }

// openUnbound starts one that sends dnstap to a socket.
func openUnbound(t *testing.T, dir, socket string) unbound {
	t.Helper()
	for _, device := range []string{"192.0.2.7/32"} {
		if out, err := exec.Command("ip", "addr", "add", device, "dev", "lo").CombinedOutput(); err != nil {
			t.Fatalf("ip: %v: %s", err, out)
		}
	}
	const conf = `server:
  directory: "%s"
  username: ""
  chroot: ""
  do-daemonize: no
  pidfile: ""
  use-syslog: no
  interface: 127.0.0.1@5353
  access-control: 192.0.2.0/24 allow
  module-config: "iterator"
  local-zone: "." static
dnstap:
  dnstap-enable: yes
  dnstap-socket-path: "%s"
  dnstap-log-client-query-messages: yes
  dnstap-log-client-response-messages: yes
`
	path := filepath.Join(dir, "unbound.conf")
	must(t, os.WriteFile(path, fmt.Appendf(nil, conf, dir, socket), 0o600))
	p := start(t, exec.Command("/usr/sbin/unbound", "-d", "-c", path))
	u := unbound{"127.0.0.1:5353"}
	must(t, eventually(p.alive, func() bool {
		_, err := u.exchange(p.alive, "127.0.0.1", "ready.example")
		return err == nil
	}))
	return u
}

// asks asks as a device of the house does.
func (u unbound) asks(t *testing.T, ctx context.Context, l capturetest.Lookup) {
	t.Helper()
	_, err := u.exchange(ctx, l.Client.Addr.Addr().String(), l.Name)
	must(t, err)
}

func (u unbound) exchange(ctx context.Context, from, name string) (*dns.Msg, error) {
	c := dns.Client{Dialer: &net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0))}}
	r, _, err := c.ExchangeContext(ctx, new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA), u.address)
	return r, err
}
