package appliance

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"larkspur/appliance/config"
	"larkspur/engine"
	"larkspur/engine/capture"
	"larkspur/engine/feed"
	"larkspur/engine/intake"
	"larkspur/engine/trigger"
)

// sensorKinds opens what the entries of `sensors` name, one line a kind.
func (a *Appliance) sensorKinds() map[string]func(config.Sensor) (*sensor, error) {
	return map[string]func(config.Sensor) (*sensor, error){
		"dns":           a.openInterface,
		feed.Dnstap:     a.openDnstap,
		feed.Passivedns: a.openLog,
		feed.Dnsmasq:    a.openLog,
		feed.Unbound:    a.openLog,
		feed.Bind:       a.openLog,
		feed.Adguard:    a.openLog,
	}
}

// sensor is one source of DNS messages. What reads them is a trigger.DNS; a
// capture that is spread over several sockets has one for each.
type sensor struct {
	name    string // the events' source
	readers []*trigger.DNS
	closers []io.Closer
	lives   []*capture.Live // of a sensor of an interface
	clock   engine.Clock
	unit    string // what it reads, "" is frames
	// serve is what must run for messages to come; nil: nothing.
	serve func(ctx context.Context) error

	mu     sync.Mutex // guards what watch keeps
	began  time.Time
	losses uint64    // so many when they were last looked at
	lossAt time.Time // when they were last seen to grow
	failed error     // what ended it
}

// openSensors opens what the configuration names, and the sources of Config.
func (a *Appliance) openSensors(c *config.Config) error {
	kinds := a.sensorKinds()
	for _, entry := range c.Sensors {
		s, err := kinds[entry.Kind](entry)
		if err != nil {
			return err
		}
		a.sensors = append(a.sensors, s)
	}
	for _, name := range sortedKeys(a.cfg.Sources) {
		src := a.cfg.Sources[name]
		a.sensors = append(a.sensors, a.newSensor(name, capture.NewReader(src), src))
	}
	return nil
}

// openInterface captures from a network interface.
func (a *Appliance) openInterface(entry config.Sensor) (*sensor, error) {
	lives, err := openLives(entry)
	if err != nil {
		return nil, err
	}
	s := &sensor{name: entry.Interface, lives: lives, clock: a.clock}
	for _, live := range lives {
		s.add(a.newDNS(s.name, capture.NewReader(live, entry.Ports...)), live)
	}
	return s, nil
}

func openLives(entry config.Sensor) ([]*capture.Live, error) {
	cfg := capture.LiveConfig{Interface: entry.Interface, Ports: withDHCP(entry.Ports), RingBytes: entry.RingBytes}
	if entry.Fanout > 1 {
		return capture.OpenFanout(cfg, entry.Fanout)
	}
	live, err := capture.OpenLive(cfg)
	return []*capture.Live{live}, err
}

// newSensor makes a sensor of messages; closer is closed after Run.
func (a *Appliance) newSensor(name string, messages trigger.Messages, closer io.Closer) *sensor {
	s := &sensor{name: name, clock: a.clock}
	s.add(a.newDNS(name, messages), closer)
	return s
}

func (s *sensor) add(d *trigger.DNS, closer io.Closer) {
	s.readers, s.closers = append(s.readers, d), append(s.closers, closer)
}

func (a *Appliance) newDNS(name string, messages trigger.Messages) *trigger.DNS {
	return trigger.NewDNS(trigger.DNSConfig{
		Name: name, Messages: a.hear(messages), Matcher: a.dnsMatcher, Sink: a.intake, Memory: a.memory, Clients: a.clients,
	})
}

// dnsMatcher returns the rules in force, together with what runs expect.
func (a *Appliance) dnsMatcher() trigger.Matcher {
	live := a.rules.live.Load()
	if live == nil || live.Rules == nil {
		return nil
	}
	return intake.Watched{Rules: live.Rules, Expected: a.intake.Expected}
}

// Run reads until the source ends or ctx does.
func (s *sensor) Run(ctx context.Context) error {
	var all, beside errgroup.Group
	watched, unwatch := context.WithCancel(ctx)
	defer beside.Wait()
	defer unwatch()
	beside.Go(func() error { return s.watch(watched) })
	if s.serve != nil {
		beside.Go(func() error { return s.serve(watched) })
	}
	for _, d := range s.readers {
		all.Go(func() error {
			if len(s.lives) > 0 { // a file or a log waits for us
				capture.Precede()
			}
			return d.Run(ctx)
		})
	}
	if err := all.Wait(); err != nil && ctx.Err() == nil {
		s.mu.Lock()
		s.failed = err
		s.mu.Unlock()
		slog.Error("a sensor stopped", "sensor", s.name, "error", err)
	}
	return nil // the rest goes on; the status page shows it
}

// stats are those of all readers together.
func (s *sensor) stats() trigger.DNSStats {
	var sum trigger.DNSStats
	for _, d := range s.readers {
		sum.Add(d.Stats())
	}
	return sum
}

func (s *sensor) close() error {
	var errs []error
	for _, c := range s.closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
