package login

import (
	"container/list"
	"net/http"
	"strings"
	"sync"
	"time"

	"larkspur/engine"
)

// How many codes are sent in a span: for one link, to one person, for one client,
// in all.
const (
	CodesPerLink   = 6
	CodesPerOwner  = 10
	CodesPerClient = 20
	CodesInAll     = 300
	CodeWindow     = 30 * time.Minute
)

// Codes bounds the codes that are mailed: a scanner that presses every button must
// not fill a mailbox. Memory is bounded. Safe for concurrent use.
type Codes struct {
	clock engine.Clock

	mu     sync.Mutex
	counts map[string]*list.Element
	recent *list.List // of *asked, the newest in front
}

type asked struct {
	key   string
	since time.Time
	times int
}

// NewCodes makes a Codes.
func NewCodes(clock engine.Clock) *Codes {
	return &Codes{clock: clock, counts: map[string]*list.Element{}, recent: list.New()}
}

// limit is one bound that a code counts against.
type limit struct {
	key  string
	most int
}

// take counts a code against all limits, unless it is over one: then it returns how
// long to wait.
func (c *Codes) take(limits ...limit) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	var found []*asked
	for _, l := range limits {
		a := c.find(l.key, now)
		if left := CodeWindow - now.Sub(a.since); a.times >= l.most && left > 0 {
			return left
		}
		found = append(found, a)
	}
	for _, a := range found {
		a.times++
	}
	return 0
}

func (c *Codes) find(key string, now time.Time) *asked {
	e := c.counts[key]
	if e == nil {
		e = c.recent.PushFront(&asked{key: key, since: now})
		c.counts[key] = e
		if c.recent.Len() > maxClients {
			delete(c.counts, c.recent.Remove(c.recent.Back()).(*asked).key)
		}
	}
	c.recent.MoveToFront(e)
	a := e.Value.(*asked)
	if now.Sub(a.since) >= CodeWindow {
		a.since, a.times = now, 0
	}
	return a
}

// MayAskForCode counts a code for a link's person. Errors: *TooMany.
func (a *Access) MayAskForCode(r *http.Request, link string, to Owner) error {
	wait := a.Codes.take(limit{"link " + sumOf(link), CodesPerLink}, ownerLimit(to), a.clientLimit(r), limit{"all", CodesInAll})
	return tooManyCodes(wait)
}

// MaySignIn counts a code for what somebody typed. hush: it is over the limit of
// that person, of whom nothing may be told; no code is sent. Errors: *TooMany, for
// what has to do with the client alone.
func (a *Access) MaySignIn(r *http.Request, to Owner) (hush bool, err error) {
	if err := tooManyCodes(a.Codes.take(a.clientLimit(r), limit{"all", CodesInAll})); err != nil {
		return false, err
	}
	return a.Codes.take(ownerLimit(to)) > 0, nil
}

func ownerLimit(to Owner) limit {
	return limit{"owner " + to.Person + " " + strings.ToLower(to.Email), CodesPerOwner}
}

func (a *Access) clientLimit(r *http.Request) limit {
	return limit{"client " + network(ClientAddr(r, a.Trusted)).String(), CodesPerClient}
}

func tooManyCodes(wait time.Duration) error {
	if wait == 0 {
		return nil
	}
	return &TooMany{Wait: wait, Why: "too many codes were asked for; the last one may still be on its way, look into the mailbox, or try again in half an hour"}
}
