package fault

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"larkspur/appliance/demo/controller"
)

// controllerPassword is that of the simulated UniFi controller.
const controllerPassword = "simulated"

// arrival is one effect that came to the peer.
type arrival struct {
	Key    string // RUN/GENERATION/STEP
	Idem   string // the idempotency key, of repeatable ones
	Path   string // once, tag, flaky, on, off
	What   string // or the thing
	Effect bool   // it had one: not refused, nor known by its key
	Life   int
}

// Moments of an arrival at which the peer kills the child.
const (
	unheard  = "before the effect"
	unsaid   = "before the answer"
	answered = "after the answer"
)

// trap kills at the so-manieth effect of a life.
type trap struct {
	at    string
	after int
	kill  func()
}

// peer is the world: it outlives the child, and writes down each effect.
type peer struct {
	server     *httptest.Server
	controller *controller.Controller
	slow       time.Duration // at most this long an answer takes

	mu       sync.Mutex // guards what follows
	changed  *sync.Cond
	rng      *rand.Rand
	open     map[net.Conn]bool
	life     int
	trap     trap
	arrivals []arrival
	things   map[string]bool // what is on
	known    map[string]bool // idempotency keys
	failed   map[string]int  // how often a flaky one was cut, by step's what
}

// mac names a client that the controller knows, macs those of one event.
func mac(n int) string { return fmt.Sprintf("02:00:00:00:%02x:%02x", n/256, n%256) }

func macs(event int) string {
	var list []string
	for n := range macsOfAnEvent {
		list = append(list, mac(event*macsOfAnEvent+n))
	}
	return strings.Join(list, " ")
}

const macsOfAnEvent = 5

func newPeer(t *testing.T, seed uint64) *peer {
	p := &peer{
		rng: rand.New(rand.NewPCG(seed, 3)), open: map[net.Conn]bool{}, things: map[string]bool{}, known: map[string]bool{}, failed: map[string]int{},
		slow: 12 * time.Millisecond,
	}
	p.changed = sync.NewCond(&p.mu)
	o := controller.Options{User: "larkspur", Password: controllerPassword}
	for n := range maxEvents * macsOfAnEvent {
		o.Clients = append(o.Clients, controller.Client{MAC: mac(n), IP: netip.AddrFrom4([4]byte{192, 0, 2, 7}), Online: true})
	}
	var err error
	p.controller, err = controller.Open(o)
	must(t, err)
	ended := make(chan error, 1)
	go func() { ended <- p.controller.Run(t.Context()) }()
	p.server = httptest.NewUnstartedServer(p)
	p.server.Config.ConnState = p.connection
	p.server.Start()
	t.Cleanup(func() {
		p.server.Close()
		<-ended
	})
	return p
}

// connections are those of the child's configuration.
func (p *peer) connections() map[string]map[string]map[string]any {
	return map[string]map[string]map[string]any{
		"http": {"peer": {"url": p.server.URL}},
		"unifi": {"home": {
			"url": p.controller.URL(), "user": "larkspur", "password": "secret:unifi", "fingerprint": p.controller.Fingerprint(),
		}},
	}
}

func (p *peer) connection(c net.Conn, s http.ConnState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[c] = s != http.StateClosed && s != http.StateHijacked; !p.open[c] {
		delete(p.open, c)
	}
	p.changed.Broadcast()
}

// rest returns when everything that a dead child had sent was seen.
func (p *peer) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.open) > 0 {
		p.changed.Wait()
	}
}

// begin is a new life of the child.
func (p *peer) begin(t trap) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life++
	p.trap = t
}

// ServeHTTP takes reads and effects.
func (p *peer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		p.mu.Lock()
		n := p.rng.IntN(1000)
		p.mu.Unlock()
		fmt.Fprint(w, n) // a replay must not ask again
		return
	}
	var said struct {
		What, Thing string
		Fails       int
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(body, &said) != nil {
		return // the child died before it had said it
	}
	a := arrival{Key: r.Header.Get(stepHeader), Idem: r.Header.Get("Idempotency-Key"), Path: strings.TrimPrefix(r.URL.Path, "/"), What: said.What + said.Thing}
	ok, pause, after := p.take(a, said.Fails)
	if !ok {
		panic(http.ErrAbortHandler) // the connection is cut
	}
	select {
	case <-time.After(pause):
	case <-r.Context().Done(): // it died
		return
	}
	fmt.Fprintf(w, `{"n": %d}`, len(body))
	_ = http.NewResponseController(w).Flush()
	if after != nil {
		after()
	}
}

// take writes an effect down. It kills the child where the trap says so.
func (p *peer) take(a arrival, fails int) (ok bool, pause time.Duration, after func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trap.after--
	sprung := p.trap.kill != nil && p.trap.after == 0
	if sprung && p.trap.at == unheard {
		p.trap.kill()
		return false, 0, nil
	}
	a.Life, a.Effect = p.life, a.Idem == "" || !p.known[a.Idem]
	run, _, _ := strings.Cut(a.Key, "/")
	cut := a.Path == "flaky" && a.Effect && p.failed[run+a.What] < fails
	if cut {
		p.failed[run+a.What]++
		a.Effect = false
	}
	p.arrivals = append(p.arrivals, a)
	if a.Path == "on" || a.Path == "off" {
		p.things[a.What] = a.Path == "on"
	}
	if a.Effect && a.Idem != "" {
		p.known[a.Idem] = true
	}
	if sprung && p.trap.at == unsaid {
		p.trap.kill()
		return false, 0, nil
	}
	if sprung {
		after = p.trap.kill
	}
	return !cut, time.Duration(p.rng.Int64N(int64(p.slow))), after
}

// count says how often a step arrived.
func (p *peer) count(key string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.arrivals {
		if a.Key == key {
			n++
		}
	}
	return n
}
