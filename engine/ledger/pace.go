package ledger

import (
	"context"
	"time"
)

// pace lets a long reading give way to appends: it works at full speed while
// nobody appends, and a twentieth of the time while somebody does.
type pace struct {
	l       *Ledger
	commits uint64    // when it last looked
	begun   time.Time // of the work since
}

// restPart is how many times as long as it worked a reading rests beside appends:
// these are to keep nine tenths of their speed on two processors.
const restPart = 19

// minWork is how long a reading works before it looks.
const minWork = time.Millisecond

func (l *Ledger) pace() *pace { return &pace{l: l, commits: l.appended.Load(), begun: time.Now()} }

// appending says whether an append is on its way: a commit may take longer than
// the work between two looks.
func (l *Ledger) appending() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leading || l.flying != nil || len(l.queue) > 0
}

// giveWay rests, if there were appends during the work that is done now. Call it
// every millisecond or so.
func (p *pace) giveWay(ctx context.Context) error {
	worked := time.Since(p.begun)
	if worked < minWork {
		return ctx.Err()
	}
	if p.l.appended.Load() != p.commits || p.l.appending() {
		rest := time.NewTimer(restPart * worked)
		defer rest.Stop()
		select {
		case <-ctx.Done():
		case <-rest.C:
		}
	}
	p.commits, p.begun = p.l.appended.Load(), time.Now()
	return ctx.Err()
}
