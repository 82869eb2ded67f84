// Package demo serves the stories of use cases U2, U1 and U4 with nothing to set up: a
// shipped workspace, recorded DNS, and simulated devices and hosts that the real
// clients reach over real sockets. A guide page leads through each and says what is
// simulated.
package demo

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"larkspur/appliance"
	"larkspur/appliance/demo/controller"
	"larkspur/appliance/demo/mailbox"
	"larkspur/appliance/demo/shop"
	"larkspur/appliance/demo/workspace"
	"larkspur/engine"
	"larkspur/engine/capture"
	"larkspur/engine/state"
)

// television is the device that watches; its addresses are those of the
// recorded DNS.
var television = controller.Client{
	MAC: "02:00:00:00:00:07", Name: "Living-room TV", Hostname: "tv", IP: netip.MustParseAddr("192.0.2.7"),
	Online: true, SSID: "home", Network: "LAN",
}

// recording is DNS of a house, captured on a span port: made by
// `go test -run TestRecording -update`.
//
//go:embed netflix.pcap
var recording []byte

// Config of a demo.
type Config struct {
	Out    io.Writer
	Listen string // of the guide; default 127.0.0.1:8400, or any free port
	Worker string // executable of the worker; this program by default
	Clock  engine.Clock
	Watch  func([]state.Notice)
}

// Demo is the appliance with its simulated house.
type Demo struct {
	dir        string
	out        io.Writer
	clock      engine.Clock
	controller *controller.Controller
	mailbox    *mailbox.Mailbox
	shop       *shop.Shop
	appliance  *appliance.Appliance
	tape       *tape
	guide      *guide
	// Passwords of the simulated devices: unlikely ones, because what is a secret
	// is blotted out of every result.
	unifiPassword, mailPassword string
	hookSecret                  string // of the web site that reports come from
}

// Open makes the house in a temporary folder and opens the appliance in it.
func Open(cfg Config) (_ *Demo, err error) {
	if cfg.Clock == nil {
		cfg.Clock = engine.SystemClock{}
	}
	d := &Demo{
		out: cfg.Out, clock: cfg.Clock, tape: newTape(recording, cfg.Clock),
		unifiPassword: rand.Text(), mailPassword: rand.Text(), hookSecret: rand.Text(),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if d.dir, err = os.MkdirTemp("", "larkspur-demo-"); err != nil {
		return nil, engine.WrapError(engine.Unavailable, err, "demo")
	}
	if err := d.openDevices(); err != nil {
		return nil, err
	}
	page, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, engine.WrapError(engine.Unavailable, err, "demo")
	}
	if err := d.writeWorkspace(page.Addr().String()); err != nil {
		return nil, errors.Join(err, page.Close())
	}
	d.appliance, err = appliance.Open(appliance.Config{
		Dir: d.dir, Listener: page, Worker: cfg.Worker, Clock: cfg.Clock, Watch: cfg.Watch,
		Sources: map[string]capture.Source{"span port (recorded)": d.tape},
	})
	if err != nil {
		return nil, errors.Join(err, page.Close())
	}
	d.guide, err = openGuide(d, cfg.Listen)
	return d, err
}

func (d *Demo) openDevices() (err error) {
	d.controller, err = controller.Open(controller.Options{
		OS: true, User: "larkspur", Password: d.unifiPassword, Clock: d.clock,
		Clients: []controller.Client{
			{MAC: workspace.OwnerPhone, Name: "Dave's phone", Hostname: "daves-phone", IP: netip.MustParseAddr("192.0.2.10"), SSID: "home", Network: "LAN"},
			television,
			{MAC: "02:00:00:00:00:03", Name: "Ana's laptop", Hostname: "anas-laptop", IP: netip.MustParseAddr("192.0.2.12"), Online: true, SSID: "home", Network: "LAN"},
		},
	})
	if err != nil {
		return err
	}
	if d.mailbox, err = mailbox.Open(mailbox.Options{User: "larkspur", Password: d.mailPassword, Clock: d.clock}); err != nil {
		return err
	}
	d.shop, err = shop.Open(d.clock)
	return err
}

func (d *Demo) writeWorkspace(listen string) error {
	host, port := d.mailbox.Address()
	return workspace.Write(d.dir, workspace.Values{
		Listen: listen, URL: "http://" + listen,
		UnifiURL: d.controller.URL(), UnifiFingerprint: d.controller.Fingerprint(), UnifiUser: "larkspur", UnifiPassword: d.unifiPassword,
		MailHost: host, MailPort: port, MailFingerprint: d.mailbox.Fingerprint(), MailUser: "larkspur", MailPassword: d.mailPassword,
		ShopURL: d.shop.URL(), ShopPort: d.shop.Port(), ShopUser: shop.User, ShopKey: d.shop.Key(), ShopKnown: d.shop.Known(),
		HookSecret: d.hookSecret,
	})
}

// URL is the guide's.
func (d *Demo) URL() string { return d.guide.url() }

// Run serves until ctx ends.
func (d *Demo) Run(ctx context.Context) error {
	fmt.Fprintf(d.out, "Larkspur's demo is at %s\n\nThree stories of two minutes. Controller, mail server, DNS and a shop's server\nare simulated; everything else is the real thing. Ctrl-C ends it and leaves nothing behind.\n", d.URL())
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return d.controller.Run(ctx) })
	work.Go(func() error { return d.mailbox.Run(ctx) })
	work.Go(func() error { return d.shop.Run(ctx) })
	work.Go(func() error { return d.appliance.Run(ctx) })
	work.Go(func() error { return d.guide.Run(ctx) })
	if err := work.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// Close removes everything. Run must have returned.
func (d *Demo) Close() error {
	var errs []error
	if d.guide != nil {
		errs = append(errs, ignoreClosed(d.guide.listener.Close()))
	}
	if d.appliance != nil {
		errs = append(errs, d.appliance.Close())
	}
	if d.controller != nil {
		errs = append(errs, ignoreClosed(d.controller.Close()))
	}
	if d.mailbox != nil {
		errs = append(errs, ignoreClosed(d.mailbox.Close()))
	}
	if d.shop != nil {
		errs = append(errs, d.shop.Close())
	}
	if d.dir != "" {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// listen takes the wished address, or, where none was wished, a free port when
// the usual one is taken.
func listen(wished string) (net.Listener, error) {
	if wished != "" {
		l, err := net.Listen("tcp", wished)
		if err != nil {
			return nil, engine.WrapError(engine.Unavailable, err, "demo").WithHint("choose another with --listen 127.0.0.1:PORT")
		}
		return l, nil
	}
	if l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(usualPort)); err == nil {
		return l, nil
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

const usualPort = 8400

// secondsLeft rounds a span up to whole seconds for a person.
func secondsLeft(until, now time.Time) int {
	return int((until.Sub(now) + time.Second - 1) / time.Second)
}
