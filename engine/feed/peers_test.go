package feed

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"larkspur/engine/capture"
)

// peer is a DNS server of Debian in the foreground, on a port of 127.0.0.1.
type peer struct {
	*testing.T
	dir  string
	port string
	cmd  *exec.Cmd
}

// newPeer finds a free port; start makes a server listen there.
func newPeer(t *testing.T) *peer {
	t.Helper()
	port := freePort(t)
	dir, err := os.MkdirTemp("", "feed") // a short path: those of sockets are bounded
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &peer{T: t, dir: dir, port: port}
}

// freePort returns a port that is free for UDP and TCP, and is none of those that
// the system gives to whoever asks for any.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(20_000 + rand.IntN(12_000))
		udp, err := net.ListenPacket("udp", "127.0.0.1:"+port)
		if err != nil {
			continue
		}
		tcp, err := net.Listen("tcp", "127.0.0.1:"+port)
		udp.Close()
		if err != nil {
			continue
		}
		tcp.Close()
		return port
	}
	t.Fatal("no port is free")
	return ""
}

// program returns where a program of Debian is.
func program(t *testing.T, name, pkg string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("needs %s of Debian's package %s", name, pkg)
	}
	t.Skipf("needs %s of Debian's package %s", name, pkg)
	return ""
}

// file writes a file of the server's and returns its path. DIR and PORT stand for
// the server's own.
func (p *peer) file(name, text string) string {
	p.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(strings.NewReplacer("DIR", p.dir, "PORT", p.port).Replace(text)), 0o600); err != nil {
		p.Fatal(err)
	}
	return path
}

// start starts the server and waits until it answers.
func (p *peer) start(path string, args ...string) {
	p.Helper()
	p.cmd = exec.Command(path, args...)
	said := &strings.Builder{}
	p.cmd.Stdout, p.cmd.Stderr = said, said
	if err := p.cmd.Start(); err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() {
		p.cmd.Process.Kill() // it keeps nothing, and some take seconds to end
		p.cmd.Wait()
		if p.Failed() {
			p.Log(said.String())
		}
	})
	for range 200 {
		if _, err := p.exchange("ready.example.org", dns.TypeA, "udp", 200*time.Millisecond); err == nil {
			return
		}
		time.Sleep(25 * time.Millisecond) // of another process, which tells nobody when it is up
	}
	p.Fatalf("%s does not answer: %s", path, said.String())
}

func (p *peer) exchange(name string, kind uint16, network string, patience time.Duration) (*dns.Msg, error) {
	q := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
	c := dns.Client{Net: network, Timeout: patience}
	r, _, err := c.Exchange(q, "127.0.0.1:"+p.port)
	return r, err
}

// lookups are what is asked; the server knows www and mail of example.org.
var lookups = []struct {
	name    string
	kind    uint16
	network string
}{
	{"www.example.org", dns.TypeA, "udp"},
	{"WWW.Example.org", dns.TypeA, "udp"},
	{"www.example.org", dns.TypeAAAA, "tcp"},
	{"nope.example.org", dns.TypeA, "udp"},
	{"mail.example.org", dns.TypeMX, "udp"},
}

// messages is a feed.
type messages interface {
	Next(ctx context.Context) (*capture.Message, error)
	Stats() capture.Stats
}

// holds asks the server and holds what the feed says against it: each query, and
// where responses says so each response, with its answers where answers says so.
func (p *peer) holds(feed messages, responses, answers bool) {
	p.Helper()
	for _, l := range lookups {
		said, err := p.exchange(l.name, l.kind, l.network, 10*time.Second)
		if err != nil {
			p.Fatalf("%s: %v", l.name, err)
		}
		asked := p.next(feed, l.name, l.kind)
		if asked.Response() {
			p.Fatalf("got a response to %s, want the query first", l.name)
		}
		if !responses {
			continue
		}
		heard := p.next(feed, l.name, l.kind)
		if want := dns.RcodeToString[said.Rcode]; !heard.Response() || heard.Rcode() != want {
			p.Errorf("%s: got %s, want a response with %s", l.name, told(heard), want)
		}
		if records, err := heard.Records(); answers && (len(records) != len(said.Answer) || err != nil) {
			p.Errorf("%s: got %v, %v; want %v", l.name, records, err, said.Answer)
		}
	}
	if s := feed.Stats(); len(s.Undecodable)+len(s.Lost) > 0 {
		p.Errorf("got %v undecodable, %v lost", s.Undecodable, s.Lost)
	}
}

// next returns the next message about a question, past those that asked whether
// the server is up.
func (p *peer) next(feed messages, name string, kind uint16) *capture.Message {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), 20*time.Second)
	defer cancel()
	for {
		m, err := feed.Next(ctx)
		if err != nil {
			p.Fatalf("%s: %v; %+v", name, err, feed.Stats())
		}
		if string(m.Name) == "ready.example.org" {
			continue
		}
		if string(m.Name) != strings.ToLower(name) || m.Type != kind || m.Client.Addr().String() != "127.0.0.1" {
			p.Fatalf("got %s, want %s of type %d", told(m), name, kind)
		}
		return m
	}
}

// follow follows a log of the server.
func (p *peer) follow(kind, name string) *Log {
	p.Helper()
	zone := time.Local
	log, err := Follow(filepath.Join(p.dir, name), Format{Kind: kind, Zone: zone}, nil)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { log.Close() })
	return log
}

func (p *peer) rename(name string) {
	p.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.Rename(path, path+".1"); err != nil {
		p.Fatal(err)
	}
}

const unboundConf = `server:
  directory: "DIR"
  username: ""
  chroot: ""
  do-daemonize: no
  pidfile: ""
  interface: 127.0.0.1@PORT
  use-syslog: no
  logfile: "DIR/unbound.log"
  log-queries: yes
  log-replies: yes
  module-config: "iterator"
  local-zone: "example.org." static
  local-data: "www.example.org. 60 IN A 192.0.2.1"
  local-data: "www.example.org. 60 IN AAAA 2001:db8::1"
  local-data: "mail.example.org. 60 IN MX 10 www.example.org."
remote-control:
  control-enable: yes
  control-interface: DIR/control.sock
dnstap:
  dnstap-enable: yes
  dnstap-socket-path: "DIR/dnstap.sock"
  dnstap-send-identity: yes
  dnstap-log-client-query-messages: yes
  dnstap-log-client-response-messages: yes
`

func TestUnboundLogAndItsRotation(t *testing.T) {
	unbound := program(t, "unbound", "unbound")
	p := newPeer(t)
	conf := p.file("unbound.conf", unboundConf)
	log := p.follow(Unbound, "unbound.log")
	p.start(unbound, "-d", "-c", conf)
	p.holds(log, true, false)
	p.rename("unbound.log")
	if out, err := exec.Command(program(t, "unbound-control", "unbound"), "-c", conf, "log_reopen").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p.holds(log, true, false)
}

func TestUnboundDnstap(t *testing.T) {
	unbound := program(t, "unbound", "unbound")
	for _, bidirectional := range []string{"yes", "no"} {
		t.Run("bidirectional "+bidirectional, func(t *testing.T) {
			p := newPeer(t)
			l := listening(t, Socket{Address: "unix:" + filepath.Join(p.dir, "dnstap.sock"), Mode: 0o666})
			p.start(unbound, "-d", "-c", p.file("unbound.conf", unboundConf+"  dnstap-bidirectional: "+bidirectional+"\n"))
			p.holds(l, true, true)
		})
	}
}

func TestUnboundDnstapByTCP(t *testing.T) {
	unbound := program(t, "unbound", "unbound")
	l := listening(t, Socket{Address: "tcp://127.0.0.1:0"})
	_, port, _ := net.SplitHostPort(l.Addr().String())
	p := newPeer(t)
	p.start(unbound, "-d", "-c", p.file("unbound.conf", strings.Replace(unboundConf, `dnstap-socket-path: "DIR/dnstap.sock"`,
		fmt.Sprintf("dnstap-ip: \"127.0.0.1@%s\"\n  dnstap-tls: no", port), 1)))
	p.holds(l, true, true)
}

func TestDnsmasqLogAndItsRotation(t *testing.T) {
	dnsmasq := program(t, "dnsmasq", "dnsmasq-base")
	for _, extra := range []string{"", "=extra"} {
		t.Run("log-queries"+extra, func(t *testing.T) {
			p := newPeer(t)
			log := p.follow(Dnsmasq, "dnsmasq.log")
			p.start(dnsmasq, "-k", "-C", p.file("dnsmasq.conf", `port=PORT
listen-address=127.0.0.1
bind-interfaces
no-hosts
no-resolv
user=
pid-file=
log-facility=DIR/dnsmasq.log
log-queries`+extra+`
local=/example.org/
host-record=www.example.org,192.0.2.1,2001:db8::1
mx-host=mail.example.org,www.example.org,10
`))
			p.holds(log, true, false)
			p.rename("dnsmasq.log")
			p.cmd.Process.Signal(syscall.SIGUSR2)
			p.holds(log, true, false)
		})
	}
}

const namedConf = `options {
  directory "DIR"; pid-file none; session-keyfile none; recursion no;
  listen-on port PORT { 127.0.0.1; }; listen-on-v6 { none; };
  dnstap { client; auth; };
  dnstap-output unix "DIR/dnstap.sock";
};
controls { };
logging {
  channel queries { file "DIR/query.log" versions 3 size 1k; print-time yes; print-category yes; severity info; };
  category queries { queries; };
};
zone "example.org" { type primary; file "DIR/zone"; };
`

const zone = `$TTL 60
@ IN SOA ns root 1 60 60 60 60
@ IN NS ns
ns IN A 192.0.2.53
www IN A 192.0.2.1
www IN AAAA 2001:db8::1
mail IN MX 10 www
`

// BIND rotates its log by itself, every eight lines or so.
func TestBindLogAndItsRotation(t *testing.T) {
	named := program(t, "named", "bind9")
	p := newPeer(t)
	p.file("zone", zone)
	log := p.follow(Bind, "query.log")
	p.start(named, "-f", "-c", p.file("named.conf", namedConf))
	for range 6 {
		p.holds(log, false, false)
	}
	if rotated := rotatedOf(filepath.Join(p.dir, "query.log")); len(rotated) == 0 {
		t.Error("the log was not rotated")
	}
}

func TestBindDnstap(t *testing.T) {
	named := program(t, "named", "bind9")
	p := newPeer(t)
	p.file("zone", zone)
	l := listening(t, Socket{Address: "unix:" + filepath.Join(p.dir, "dnstap.sock"), Mode: 0o666})
	p.start(named, "-f", "-c", p.file("named.conf", namedConf))
	p.holds(l, true, true)
}
