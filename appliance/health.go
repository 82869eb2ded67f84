package appliance

import (
	"fmt"
	"strings"

	"larkspur/engine"
	"larkspur/engine/store"
	"larkspur/scripts"
	"larkspur/ui"
	"larkspur/ui/desk"
)

// Ready implements ui.Health: the rules are live and a worker can carry runs.
func (a *Appliance) Ready() error {
	if a.rules.rules() == nil {
		return engine.Errorf(engine.Unavailable, "no scripts are live yet")
	}
	return nil
}

// Report implements ui.Health.
func (a *Appliance) Report() ui.Check {
	c := ui.Check{Name: "larkspur", Status: desk.HealthOK, Message: "version " + Version, Children: []ui.Check{
		a.scriptsHealth(), a.workersHealth(), a.ledgerHealth(), a.diskHealth(), a.blobsHealth(), a.sensorsHealth(), mailHealth(a.current().Mails()),
	}}
	for _, sometimes := range []func() (ui.Check, bool){a.tunnelHealth, a.clockHealth, a.rebuilder.health, a.keeper.health, a.cacheHealth, a.scrubber.health, a.namer.health, a.memoryHealth} {
		if child, tell := sometimes(); tell {
			c.Children = append(c.Children, child)
		}
	}
	return c
}

const seeRules = "the rules page shows what is wrong with the newest files"

func (a *Appliance) scriptsHealth() ui.Check {
	s := a.rules.Snapshot()
	c := ui.Check{Name: "scripts", Status: desk.HealthOK, Message: fmt.Sprintf("%d rules, bundle %.12s", len(s.Declarations.Rules), s.Hash)}
	switch broken := scripts.HasError(s.Problems); {
	case broken && s.Hash == "":
		c.Status, c.Message, c.Hint = desk.HealthFail, "nothing is live: the files have errors", seeRules
	case broken: // what runs is whole: a slip in an editor is no outage
		c.Status, c.Hint = desk.HealthWarn, seeRules
		c.Message += "; the newest files have errors"
	case s.Hash == "":
		c.Status, c.Message = desk.HealthWarn, "not loaded yet"
	}
	return c
}

func (a *Appliance) workersHealth() ui.Check {
	c := ui.Check{Name: "workers", Status: desk.HealthOK}
	for i, w := range a.pool.Status() {
		child := ui.Check{Name: fmt.Sprintf("worker %d", i), Status: desk.HealthOK}
		child.Message = fmt.Sprintf("pid %d, %d calls, %d MB, contained by %s", w.PID, w.Calls, w.RSSBytes>>20, strings.Join(w.Contained, ", "))
		switch {
		case w.PID == 0 && !w.Wanted:
			child.Message = "at rest; it is started when many runs compute"
		case w.PID == 0:
			child.Status, child.Message = desk.HealthFail, "not running: "+w.Failure
		case len(w.Missing) > 0:
			child.Status = desk.HealthWarn
			child.Message += "; missing " + strings.Join(w.Missing, ", ")
		}
		if w.Deaths > 0 {
			child.Message += fmt.Sprintf("; died %d times, last: %s", w.Deaths, w.LastDeath)
		}
		c.Children = append(c.Children, child)
	}
	return c
}

func (a *Appliance) ledgerHealth() ui.Check {
	size := uint64(0)
	for shard := range a.ledger.Shards() {
		size += a.ledger.Size(uint16(shard))
	}
	return ui.Check{Name: "ledger", Status: desk.HealthOK, Message: fmt.Sprintf("%d records; %d events wait to be routed", size, a.intake.Waiting())}
}

// diskHealth tells how much room the ledger has. A full disk is broken; it does
// not make the appliance unready, since reading goes on.
func (a *Appliance) diskHealth() ui.Check {
	d, err := a.store.Disk()
	if err != nil {
		return ui.Check{Name: "disk", Status: desk.HealthFail, Message: err.Error()}
	}
	return diskCheck(d)
}

func diskCheck(d store.Disk) ui.Check {
	c := ui.Check{Name: "disk", Status: desk.HealthOK, Message: fmt.Sprintf("%d MB free", d.Free>>20)}
	switch {
	case d.Full:
		c.Status, c.Hint = desk.HealthFail, engine.AsError(d.Err).Hint
		c.Message += "; nothing is written, reading goes on"
	case d.Low:
		c.Status, c.Hint = desk.HealthWarn, fmt.Sprintf("free space on the disk of %q", d.Dir)
		c.Message += fmt.Sprintf("; below %d MB nothing is written", d.Need>>20)
	}
	if !d.Ballast {
		c.Message += "; the ballast is given up"
	}
	return c
}

// tunnelHealth tells whether the page is reached from outside.
func (a *Appliance) tunnelHealth() (c ui.Check, tell bool) {
	if a.tunnel == nil {
		return c, false
	}
	s := a.tunnel.Status()
	c = ui.Check{Name: "tunnel", Status: desk.HealthOK}
	switch {
	case s.Up:
		c.Message = fmt.Sprintf("%s listens on %s for us since %s", s.Gate, s.Listen, s.Since.UTC().Format("2006-01-02 15:04 UTC"))
		if s.Breaks > 0 {
			c.Message += fmt.Sprintf("; it broke %d times before", s.Breaks)
		}
	case s.Err == nil:
		c.Status, c.Message = desk.HealthWarn, "connecting to "+s.Gate
	default:
		c.Status, c.Message, c.Hint = desk.HealthWarn, s.Err.Error(), engine.AsError(s.Err).Hint
	}
	return c, true
}

// clockHealth tells of a clock that jumped.
func (a *Appliance) clockHealth() (c ui.Check, tell bool) {
	h, err := a.state.Clock(0)
	c = ui.Check{Name: "clock", Status: desk.HealthWarn, Message: h.Why + "; no timer fires and no default answers"}
	c.Hint = "set the clock right, or say that it is: larkspur clock accept"
	return c, err == nil && h.On
}

// mailHealth says once what every question would otherwise say.
func mailHealth(mails bool) ui.Check {
	if mails {
		return ui.Check{Name: "mail", Status: desk.HealthOK, Message: "questions are mailed"}
	}
	return ui.Check{
		Name: "mail", Status: desk.HealthWarn, Message: "questions are not mailed, they wait on the page: there is no mail connection",
		Hint: "add to larkspur.yaml: connections: {smtp: {default: {host: 192.0.2.25, port: 587, user: soar, password: secret:smtp, from: soar@example.org}}}",
	}
}

// cacheHealth tells of a cache that was deleted while it was open, or found to
// be unreadable.
func (a *Appliance) cacheHealth() (c ui.Check, tell bool) {
	at, renewed := a.cache.Renewed()
	c = ui.Check{Name: "cache", Status: desk.HealthOK}
	c.Message = fmt.Sprintf("begun anew at %s, because its folder was deleted or unreadable: whoever was signed in signs in again", at.UTC().Format("2006-01-02 15:04 UTC"))
	return c, renewed
}
