package eraser

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
)

// spot is one record.
type spot struct {
	shard  uint16
	number uint64
}

// candidate is a record that a request selects, and what it belongs to.
type candidate struct {
	spot
	owners []string // ids of incidents, of runs without one, of events
	blobs  []string
}

// plan is what a request selects at one moment.
type plan struct {
	take  []candidate       // may be erased now
	waits map[string]string // by what is in use: why
	blobs map[string]int    // that only records of take name, by how many of them
}

// maxPlanned bounds the records of one plan; a request with more is planned again.
const maxPlanned = 200_000

// planner makes one plan. It reads every record twice, and holds only what is
// selected.
type planner struct {
	e      *Eraser
	ask    engine.Erasure
	person *mentions
	waited map[string]bool // what the request waits for: new records of it count

	found   []candidate
	events  map[string][]string // incidents of the events that are selected
	runs    map[string]string   // run → its owner
	ages    map[string]bool     // owner → whether it was over before the limit
	settled map[string]string   // owner → why not
	blobs   map[string]int      // references to blobs of found records, of all records
}

func (e *Eraser) plan(ctx context.Context, ask engine.Erasure) (*plan, error) {
	p := &planner{
		e: e, ask: ask, waited: map[string]bool{}, events: map[string][]string{},
		runs: map[string]string{}, ages: map[string]bool{}, settled: map[string]string{}, blobs: map[string]int{},
	}
	for _, w := range ask.Waits {
		p.waited[w.On] = true
	}
	if ask.Person != "" {
		keys, _ := e.cfg.Ledger.HashKeys()
		p.person = newMentions(keys, ask.Person)
	}
	if err := p.each(ctx, p.find); err != nil {
		return nil, err
	}
	if err := p.addEvents(); err != nil {
		return nil, err
	}
	if err := p.each(ctx, p.look); err != nil {
		return nil, err
	}
	return p.decide()
}

// each calls fn for every record, until maxPlanned are found.
func (p *planner) each(ctx context.Context, fn func(ledger.Record) error) error {
	for shard := range p.e.cfg.Ledger.Shards() {
		var failed error
		err := p.e.cfg.Ledger.Records(uint16(shard), 0, func(r ledger.Record) bool {
			if r.Header.Record%1024 == 0 && ctx.Err() != nil {
				failed = engine.WrapError(engine.Timeout, ctx.Err(), "erasing: planning")
				return false
			}
			failed = fn(r)
			return failed == nil
		})
		if failed != nil {
			return failed
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// find notes a record that the request selects.
func (p *planner) find(r ledger.Record) error {
	if r.Header.Kind == record.EventMatchedKind {
		p.noteEvent(r) // even of an erased one: its event may be left
	}
	if r.Erased || len(p.found) == maxPlanned {
		return nil
	}
	left, err := record.Residue(r.Header.Kind, r.Payload)
	if err != nil || left == nil {
		return err
	}
	c := candidate{spot: spot{r.Header.Shard, r.Header.Record}, owners: p.owners(r), blobs: blobsOf(r)}
	if !p.inTime(r, c) {
		return nil
	}
	selected, err := p.selects(r, c)
	if selected {
		p.found = append(p.found, c)
	}
	return err
}

// inTime reports whether a request is about a record: what came after it is
// not, unless it belongs to what the request waits for.
func (p *planner) inTime(r ledger.Record, c candidate) bool {
	before := !r.Header.Time.After(p.ask.Asked) // of an erasure that was asked for when sizes were not noted
	if n := int(r.Header.Shard); n < len(p.ask.Sizes) {
		before = r.Header.Record < p.ask.Sizes[n]
	}
	return before || slices.ContainsFunc(c.owners, func(o string) bool { return p.waited[o] })
}

func (p *planner) selects(r ledger.Record, c candidate) (bool, error) {
	switch {
	case p.person != nil:
		return p.mentioned(r, c)
	case p.ask.Incident != "":
		if slices.Contains(c.owners, p.ask.Incident) {
			return true, nil
		}
		return p.read(r, c)
	case len(c.owners) == 0:
		return false, nil // sign-ins and exports are the audit's, not an incident's
	}
	for _, owner := range c.owners {
		if old, err := p.old(owner, r.Header.Time); err != nil || !old {
			return false, err
		}
	}
	return true, nil
}

func (p *planner) mentioned(r ledger.Record, c candidate) (bool, error) {
	if p.person.in(r.Payload) {
		return true, nil
	}
	return p.inBlobs(c, p.person.in)
}

// inBlobs reports whether the content of a blob that a record names says yes.
func (p *planner) inBlobs(c candidate, says func([]byte) bool) (bool, error) {
	for _, sum := range c.blobs {
		content, err := p.e.cfg.Blobs.Get(sum)
		if unknown(err) {
			continue
		}
		if err != nil || says(content) {
			return err == nil, err
		}
	}
	return false, nil
}

// read reports whether a step of another's run read, or did something to, the
// incident that is asked for: what it said stands in that run's journal.
func (p *planner) read(r ledger.Record, c candidate) (bool, error) {
	if k := r.Header.Kind; k != record.StepDoneKind || !strings.HasPrefix(textOf(r.Payload, `"builtin"`), "incident") {
		return false, nil
	}
	id := []byte(`"` + p.ask.Incident + `"`)
	if bytes.Contains(r.Payload, id) {
		return true, nil
	}
	return p.inBlobs(c, func(content []byte) bool { return bytes.Contains(content, id) })
}

// old reports whether what a record belongs to was over before the limit.
func (p *planner) old(owner string, at time.Time) (old bool, err error) {
	if owner[0] == 'e' {
		return at.Before(p.ask.Before), nil
	}
	if old, known := p.ages[owner]; known {
		return old, nil
	}
	if owner[0] == 'i' {
		var i engine.Incident
		i, err = p.e.cfg.State.Incident(owner)
		old = i.Status == engine.IncidentClosed && i.Closed.Before(p.ask.Before)
	} else {
		var r engine.Run
		r, err = p.e.cfg.State.Run(owner)
		old = !r.Ended.IsZero() && r.Ended.Before(p.ask.Before)
	}
	if unknown(err) {
		old, err = true, nil
	}
	p.ages[owner] = old
	return old, err
}

// noteEvent notes the event of a match whose incident is asked for.
func (p *planner) noteEvent(r ledger.Record) {
	o, event := outcomeOf(r), textOf(remaining(r), `"event"`)
	if p.ask.Incident != "" && o.Incident == p.ask.Incident && event != "" {
		p.events[event] = nil
	}
}

// addEvents adds the records of the events of the incident that is asked for,
// and notes those that were found.
func (p *planner) addEvents() error {
	for _, c := range p.found {
		for _, owner := range c.owners {
			if owner[0] == 'e' {
				p.events[owner] = nil
			}
		}
		for _, sum := range c.blobs {
			p.blobs[sum] = 0
		}
	}
	for event := range p.events {
		shard, _, ok := engine.ParseID('e', event)
		if p.ask.Incident == "" || !ok || int(shard) >= p.e.cfg.Ledger.Shards() {
			continue
		}
		n, _, err := p.e.cfg.State.EventRecord(event)
		if unknown(err) {
			continue
		}
		if err != nil {
			return err
		}
		r, err := p.e.cfg.Ledger.Record(shard, n)
		if err != nil {
			return err
		}
		if !r.Erased {
			p.found = append(p.found, candidate{spot: spot{shard, n}, owners: []string{event}})
		}
	}
	return nil
}

// look notes which incidents share the events that were found, and how many
// records name the blobs.
func (p *planner) look(r ledger.Record) error {
	if r.Header.Kind == record.EventMatchedKind {
		event := textOf(remaining(r), `"event"`)
		if incidents, ok := p.events[event]; ok {
			if id := outcomeOf(r).Incident; id != "" && !slices.Contains(incidents, id) {
				p.events[event] = append(incidents, id)
			}
		}
	}
	for _, sum := range blobsOf(r) {
		if _, ok := p.blobs[sum]; ok {
			p.blobs[sum]++
		}
	}
	return nil
}

// decide tells what may be erased now from what is in use.
func (p *planner) decide() (*plan, error) {
	out := &plan{waits: map[string]string{}, blobs: map[string]int{}}
	named := map[string]int{}
	for _, c := range p.found {
		free := true
		for _, owner := range c.owners {
			on, why, err := p.inUse(owner)
			if err != nil {
				return nil, err
			}
			if why != "" {
				out.waits[on], free = why, false
			}
		}
		if free {
			out.take = append(out.take, c)
			for _, sum := range c.blobs {
				named[sum]++
			}
		}
	}
	if !p.ask.Before.IsZero() {
		clear(out.waits) // what is in use is young: a later pass takes it
	}
	for sum, n := range named {
		if p.blobs[sum] == n {
			out.blobs[sum] = n
		}
	}
	return out, nil
}

// inUse says what keeps a record's owner from being erased, and why.
func (p *planner) inUse(owner string) (on, why string, err error) {
	if why, known := p.settled[owner]; known && owner[0] != 'e' {
		return owner, why, nil
	}
	switch owner[0] {
	case 'i':
		why, err = p.e.cfg.State.Unsettled(owner)
	case 'r':
		why, err = p.running(owner)
	case 'e':
		return p.eventInUse(owner)
	}
	p.settled[owner] = why
	return owner, why, err
}

func (p *planner) running(id string) (string, error) {
	r, err := p.e.cfg.State.Run(id)
	if unknown(err) {
		return "", nil
	}
	if r.Ended.IsZero() {
		return "run " + id + " is " + r.Status + ": let it end first", err
	}
	return "", err
}

func (p *planner) eventInUse(id string) (on, why string, err error) {
	_, waits, err := p.e.cfg.State.EventRecord(id)
	if unknown(err) {
		return id, "", nil
	}
	if err != nil || waits {
		return id, "event " + id + " is not routed yet", err
	}
	for _, incident := range p.events[id] {
		if on, why, err := p.inUse(incident); err != nil || why != "" {
			return on, why, err
		}
		if old, err := p.old(incident, time.Time{}); !p.ask.Before.IsZero() && (err != nil || !old) {
			return incident, "it was closed later", err
		}
	}
	return id, "", nil
}

// owners returns what a record belongs to: incidents, runs without one, an event.
func (p *planner) owners(r ledger.Record) (list []string) {
	add := func(id string) {
		if id != "" && !slices.Contains(list, id) {
			list = append(list, id)
		}
	}
	o := outcomeOf(r)
	switch r.Header.Kind {
	case record.LoggedInKind, record.LoggedOutKind, record.ExportedKind, record.KeyRotatedKind, record.RebuiltKind,
		record.SignInOfferedKind, record.DevicePairedKind, record.DeviceRevokedKind:
		return nil
	case record.EventSeenKind:
		add(o.Event)
		return list
	case record.EventMatchedKind:
		add(o.Incident)
		return list
	case record.IncidentOpenedKind: // not the run's that opened it
		add(o.Incident)
		return list
	case record.JobFiredKind, record.JobStartedKind:
		add(p.ofRun(o.Run))
		return list
	}
	record.Fields(r.Payload, func(key, value []byte) bool {
		id := text(value)
		switch string(key) {
		case `"run"`:
			add(p.ofRun(id))
		case `"question"`:
			add(p.ofQuestion(id))
		case `"change"`:
			add(p.ofChange(id))
		case `"incident"`:
			add(id)
			add(textOf(value, `"incident"`)) // of an act within a step
		}
		return true
	})
	return list
}

func (p *planner) ofRun(id string) string {
	if id == "" {
		return ""
	}
	if owner, known := p.runs[id]; known {
		return owner
	}
	owner := id
	if r, err := p.e.cfg.State.Run(id); err == nil && r.Incident != "" {
		owner = r.Incident
	}
	if len(p.runs) > maxPlanned {
		clear(p.runs)
	}
	p.runs[id] = owner
	return owner
}

func (p *planner) ofQuestion(id string) string {
	if id == "" {
		return ""
	}
	q, err := p.e.cfg.State.Question(id)
	if err != nil {
		return ""
	}
	return p.ofRun(q.Run)
}

func (p *planner) ofChange(id string) string {
	if id == "" {
		return ""
	}
	c, err := p.e.cfg.State.Change(id)
	if err != nil {
		return ""
	}
	return p.ofRun(c.Run)
}

// text returns the content of a JSON string without escapes, as ids are; "" for
// anything else.
func text(value []byte) string {
	if len(value) < 2 || value[0] != '"' {
		return ""
	}
	return string(value[1 : len(value)-1])
}

// textOf returns a text of a JSON object by its quoted key.
func textOf(object []byte, name string) (found string) {
	record.Fields(object, func(key, value []byte) bool {
		if string(key) == name {
			found = text(value)
		}
		return found == ""
	})
	return found
}

func remaining(r ledger.Record) []byte {
	if r.Erased {
		return r.Erasure.Left
	}
	return r.Payload
}

// blobsOf returns the blobs that a record names.
func blobsOf(r ledger.Record) []string { return record.Blobs(r.Header.Kind, remaining(r)) }

func outcomeOf(r ledger.Record) record.Outcome {
	o, err := record.Unmarshal[record.Outcome](r.Outcome)
	if err != nil {
		return record.Outcome{} // the projector wrote it
	}
	return o
}

// incidents returns the incidents that a plan's records belong to.
func (p *plan) incidents() map[string]bool {
	ids := map[string]bool{}
	for _, c := range p.take {
		for _, owner := range c.owners {
			if owner[0] == 'i' {
				ids[owner] = true
			}
		}
	}
	return ids
}

// describe fills in what a plan would do.
func (p *plan) describe(e engine.Erasure) engine.Erasure {
	e.Records, e.Incidents, e.Blobs, e.Waits = len(p.take), len(p.incidents()), len(p.blobs), p.waiting()
	return e
}

func (p *plan) waiting() (list []engine.Waiting) {
	for _, on := range slices.Sorted(maps.Keys(p.waits)) {
		list = append(list, engine.Waiting{On: on, Why: p.waits[on]})
	}
	return list
}

// unknown reports whether an error says that something is not there: an erased
// record may name what no projection holds.
func unknown(err error) bool { return err != nil && engine.KindOf(err) == engine.NotFound }
