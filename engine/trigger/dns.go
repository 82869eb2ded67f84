package trigger

import (
	"context"
	"errors"
	"hash/maphash"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"

	"larkspur/engine"
	"larkspur/engine/capture"
)

// Matcher knows which DNS messages rules care about; *rules.Set is one. Safe for
// concurrent use.
type Matcher interface {
	// WantsDNS is asked about every message: it is cheap, and false only when no
	// rule could match it.
	WantsDNS(seen *engine.Sighting) bool
	// WantsFirstSeen tells whether some rule asks what Memory knew of a domain.
	WantsFirstSeen() bool
	Matches(e *engine.Event) bool
}

// Messages yields DNS messages, from wherever: a *capture.Reader is one, and so is
// every feed. Next returns the next message, which is valid until the following
// call; io.EOF when there are no more; when ctx ends, its error; any other error
// is final. Stats may be called at any time, from any goroutine.
type Messages interface {
	Next(ctx context.Context) (*capture.Message, error)
	Stats() capture.Stats
}

// Memory keeps who looked up what. Observe is told of every message, on the
// goroutine that reads it: it keeps nothing of m, and neither waits nor allocates.
//
// Domain tells what it knew of the domain that m asks for before m's lookup, whose
// other messages are told the same; it is asked where a rule wants to know.
type Memory interface {
	Observe(source string, m *capture.Message)
	Domain(m *capture.Message) engine.Seen
}

// Clients knows what clients are called; "" is somebody unknown.
type Clients interface {
	Name(addr netip.Addr, mac capture.MAC) string
}

// DNSConfig says what a DNS reads and whom it tells.
type DNSConfig struct {
	Name     string // source of the events: the interface, or what the feed is called
	Messages Messages
	Matcher  func() Matcher // returns the rules in force; nil: none yet
	Sink     Sink
	Memory   Memory  // nil: none
	Clients  Clients // nil: nobody has a name
}

// Bounds of DNS's queues. Deliveries wait for a sync of the disk, so several at
// once share one; those of one client keep their order.
const (
	dnsQueues      = 8
	dnsQueueLength = 256
	// maxAnswerBytes leaves room for the other fields in an event.
	maxAnswerBytes = engine.MaxEventBytes - 4<<10
)

// Reasons for which DNS drops an event that matched. Errors of the sink are
// counted under their kinds besides, a full disk under no_room.
const (
	DropQueueFull = "queue_full" // events come faster than they become durable
	DropStopped   = "stopped"    // Run ended with the event in a queue
)

// DNS makes events of the lookups among Messages, where a rule matches. The
// reader is never held up: when events come faster than the Sink takes them,
// the newest are dropped and counted. Open it with NewDNS, then Run it once.
type DNS struct {
	cfg     DNSConfig
	lookups *capture.Lookups
	seed    maphash.Seed
	queues  [dnsQueues]chan engine.Event

	wanted, matched, delivered atomic.Uint64

	mu      sync.Mutex
	dropped map[string]uint64
}

// NewDNS makes a DNS. The caller closes what the messages come from, after Run.
func NewDNS(cfg DNSConfig) *DNS {
	d := &DNS{cfg: cfg, lookups: capture.NewLookups(), seed: maphash.MakeSeed(), dropped: map[string]uint64{}}
	for i := range d.queues {
		d.queues[i] = make(chan engine.Event, dnsQueueLength)
	}
	return d
}

// Run reads the messages until they end, then delivers what is queued and returns
// nil; or until ctx ends, which it returns, or until they fail.
func (d *DNS) Run(ctx context.Context) error {
	var deliveries sync.WaitGroup
	for _, queue := range d.queues {
		deliveries.Go(func() { d.deliver(ctx, queue) })
	}
	err := d.read(ctx)
	for _, queue := range d.queues {
		close(queue)
	}
	deliveries.Wait()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// read takes messages in until they end.
func (d *DNS) read(ctx context.Context) error {
	var seen engine.Sighting
	for {
		m, err := d.cfg.Messages.Next(ctx)
		if err != nil {
			return err
		}
		if d.cfg.Memory != nil {
			d.cfg.Memory.Observe(d.cfg.Name, m)
		}
		pair := d.lookups.Pair(m)
		m.Sight(&seen)
		seen.Paired = !pair.Lookup
		matcher := d.cfg.Matcher()
		if matcher == nil || !matcher.WantsDNS(&seen) {
			continue
		}
		d.wanted.Add(1)
		e := Lookup(d.cfg.Name, m, pair)
		d.call(&e, m)
		if d.cfg.Memory != nil && matcher.WantsFirstSeen() {
			Remember(&e, d.cfg.Memory.Domain(m))
		}
		if !matcher.Matches(&e) {
			continue
		}
		d.matched.Add(1)
		d.enqueue(e)
	}
}

// call gives the event the name of its client, where that is known.
func (d *DNS) call(e *engine.Event, m *capture.Message) {
	if d.cfg.Clients == nil {
		return
	}
	if name := d.cfg.Clients.Name(m.Client.Addr(), m.ClientMAC); name != "" {
		e.Fields["client_name"] = name
	}
}

// Lookup makes the event of a message; its client_name is the client's address. A
// response that does not stand for the lookup, because its query was seen, has the
// fields query_seen and elapsed.
func Lookup(source string, m *capture.Message, pair capture.Pairing) engine.Event {
	fields := m.Fields()
	if !pair.Lookup {
		fields["query_seen"], fields["elapsed"] = true, pair.Elapsed
	}
	if answers, ok := fields["answers"].([]any); ok {
		if fitting := fit(answers); len(fitting) < len(answers) {
			fields["answers"], fields["answers_cut"] = fitting, true
		}
	}
	fields["client_name"] = fields["client"]
	fields["domain"], _ = capture.Registrable(string(m.Name))
	return engine.Event{Kind: "dns", Source: source, Time: m.Time, Fields: fields}
}

// Remember adds to an event what the memory knew before its lookup: first_seen,
// last_seen (absent for what was never seen) and memory_since.
func Remember(e *engine.Event, s engine.Seen) {
	e.Fields["first_seen"] = !s.Known
	if !s.Last.IsZero() {
		e.Fields["last_seen"] = s.Last
	}
	if !s.Since.IsZero() {
		e.Fields["memory_since"] = s.Since
	}
}

// fit returns as many of the answers as an event has room for.
func fit(answers []any) []any {
	const escaped = 2 // \DDD is written \\DDD
	size := 0
	for i, a := range answers {
		record, _ := a.(map[string]any)
		for _, v := range record {
			text, _ := v.(string)
			size += escaped*len(text) + 16
		}
		if size > maxAnswerBytes {
			return answers[:i]
		}
	}
	return answers
}

// enqueue hands an event to the queue of its client.
func (d *DNS) enqueue(e engine.Event) {
	client, _ := e.Fields["client"].(string)
	select {
	case d.queues[maphash.String(d.seed, client)%dnsQueues] <- e:
	default:
		d.drop(DropQueueFull)
	}
}

// deliver empties one queue.
func (d *DNS) deliver(ctx context.Context, queue <-chan engine.Event) {
	for e := range queue {
		if ctx.Err() != nil {
			d.drop(DropStopped)
			continue
		}
		_, err := d.cfg.Sink.Deliver(ctx, e)
		if err == nil {
			d.delivered.Add(1)
			continue
		}
		if first := d.drop(reason(err)); first {
			slog.Error("DNS event lost; more of this kind are counted only", "trigger", d.cfg.Name, "error", err)
		}
	}
}

// reason is what a loss is counted under: a full disk, or the kind of the error.
func reason(err error) string {
	if engine.NoRoom(err) {
		return engine.CauseNoRoom
	}
	return string(engine.KindOf(err))
}

// drop counts a loss and tells whether it is the first for this reason.
func (d *DNS) drop(reason string) (first bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dropped[reason]++
	return d.dropped[reason] == 1
}

// DNSStats counts what became of messages.
type DNSStats struct {
	Capture   capture.Stats `json:"capture"`
	Wanted    uint64        `json:"wanted"`    // messages that some rule could match
	Matched   uint64        `json:"matched"`   // of those, the ones that a rule matches
	Delivered uint64        `json:"delivered"` // of those, the ones that became durable
	// Dropped are the others by reason.
	Dropped map[string]uint64 `json:"dropped"`
}

// Add adds the counters of o.
func (s *DNSStats) Add(o DNSStats) {
	s.Capture.Add(o.Capture)
	s.Wanted += o.Wanted
	s.Matched += o.Matched
	s.Delivered += o.Delivered
	if s.Dropped == nil {
		s.Dropped = map[string]uint64{}
	}
	for reason, n := range o.Dropped {
		s.Dropped[reason] += n
	}
}

// Stats may be called at any time, from any goroutine.
func (d *DNS) Stats() DNSStats {
	s := DNSStats{
		Capture: d.cfg.Messages.Stats(), Wanted: d.wanted.Load(), Matched: d.matched.Load(),
		Delivered: d.delivered.Load(), Dropped: map[string]uint64{},
	}
	pairing := d.lookups.Stats()
	s.Capture.Pairing = &pairing
	d.mu.Lock()
	defer d.mu.Unlock()
	for reason, n := range d.dropped {
		s.Dropped[reason] = n
	}
	return s
}
