package appliance

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"larkspur/engine"
)

// machine is the machine's clock, as engine.Machine.
type machine struct{ engine.SystemClock }

// Up implements engine.Machine by CLOCK_BOOTTIME, which goes on while a laptop is
// suspended.
func (machine) Up() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("appliance: CLOCK_BOOTTIME: " + err.Error()) // every Linux has it since 2.6.39
	}
	return time.Duration(t.Nano())
}

// Sync implements engine.Machine: what the kernel says, adjtimex(2).
func (machine) Sync() engine.Sync {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	switch {
	case err == nil && state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0:
		return engine.Synced
	case timeService():
		return engine.SyncAwaited
	}
	return engine.SyncUnknown
}

// timeService says whether a service runs that sets the clock sooner or later.
func timeService() bool {
	for _, path := range timeServices() {
		if _, err := os.Stat(path); err == nil {
			return true
		}
	}
	return false
}

// timeServices are the marks that time services leave while they run.
func timeServices() []string {
	return []string{
		"/run/systemd/timesync", // systemd-timesyncd
		"/run/chrony",
		"/run/ntpd.pid", "/run/ntpd.sock", // ntpd, ntpsec, OpenNTPD
	}
}

// setClock takes the clock: a steady one, if it is a machine's.
func (a *Appliance) setClock(c engine.Clock) {
	a.clock = c
	if m, ok := c.(engine.Machine); ok {
		a.steady = engine.NewSteady(m)
		a.clock = a.steady
	}
}

// resume tells the clock of the newest record.
func (a *Appliance) resume(last time.Time) {
	if a.steady != nil {
		a.steady.Resume(last)
	}
}
