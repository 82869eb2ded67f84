package state

import (
	"encoding/binary"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// Projector writes the keys of the key table. It implements ledger.Projector.
type Projector struct {
	watch func([]Notice)
	// runs are those that Decide remembers, applied those that Apply does, which
	// may be called beside it.
	runs, applied memo
}

// Notice tells the runner and pages what a committed record touched.
type Notice struct {
	Kind    record.Kind
	Shard   uint16
	Record  uint64
	Outcome record.Outcome
}

// NewProjector returns a projector that tells watch of what is committed. watch
// is called by the committing goroutine: it must not block.
func NewProjector(watch func([]Notice)) *Projector {
	return &Projector{watch: watch, runs: memo{}, applied: memo{}}
}

// verb is what the projector does with one kind of record: decide its outcome
// once, apply it as often as need be.
type verb struct {
	// both decides and, if the record has an effect, applies it.
	both  func(t *tx, payload []byte) (record.Outcome, error)
	apply func(t *tx, payload []byte, o record.Outcome) error
}

func verbOf[P any](decide func(*tx, P) record.Outcome, apply func(*tx, P, record.Outcome)) verb {
	return verb{
		both: func(t *tx, payload []byte) (record.Outcome, error) {
			p, err := record.Unmarshal[P](payload)
			if err != nil {
				return record.Outcome{}, err
			}
			o := decide(t, p)
			if o.Applied {
				apply(t, p, o)
			}
			return o, nil
		},
		apply: func(t *tx, payload []byte, o record.Outcome) error {
			p, err := record.Unmarshal[P](payload)
			if err != nil {
				return err
			}
			apply(t, p, o)
			return nil
		},
	}
}

// verbs is the one list: a kind of record that is not here cannot be appended.
func verbs(k record.Kind) (verb, bool) {
	switch k {
	case record.EpochOpenedKind:
		return verbOf(always[record.EpochOpened], applyEpoch), true
	case record.BundleActivatedKind:
		return verbOf(always[record.BundleActivated], applyBundle), true
	case record.LoggedInKind:
		return verbOf(always[record.LoggedIn], applyLogin), true
	case record.LoggedOutKind:
		return verbOf(always[record.LoggedOut], nothing[record.LoggedOut]), true
	case record.ExportedKind:
		return verbOf(always[record.Exported], nothing[record.Exported]), true
	case record.KeyRotatedKind:
		return verbOf(always[record.KeyRotated], nothing[record.KeyRotated]), true
	case record.RebuiltKind:
		return verbOf(always[record.Rebuilt], nothing[record.Rebuilt]), true
	case record.ErasedKind:
		return verbOf(decideErased, applyErased), true
	case record.EventSeenKind:
		return verbOf(decideEvent, applyEvent), true
	case record.EventMatchedKind:
		return verbOf(decideMatch, applyMatch), true
	case record.EventRoutedKind:
		return verbOf(decideRouted, applyRouted), true
	case record.JobFiredKind:
		return verbOf(decideJob, applyJob), true
	case record.JobStartedKind:
		return verbOf(decideJobStarted, applyJobStarted), true
	case record.StepStartedKind:
		return verbOf(decideStarted, applyStarted), true
	case record.StepDoneKind:
		return verbOf(decideDone, applyDone), true
	case record.RunParkedKind:
		return verbOf(decideParked, applyParked), true
	case record.RunEndedKind:
		return verbOf(decideEnded, applyEnded), true
	case record.WorkerDiedKind:
		return verbOf(decideDied, applyDied), true
	case record.StepDoubtedKind:
		return verbOf(decideDoubted, applyDoubted), true
	case record.StepResolvedKind:
		return verbOf(decideResolved, applyResolved), true
	case record.RunRestartedKind:
		return verbOf(decideRestarted, applyRestarted), true
	case record.QuestionAnsweredKind:
		return verbOf(decideAnswer, applyAnswer), true
	case record.ButtonPressedKind:
		return verbOf(decidePressed, applyPressed), true
	case record.TimerFiredKind:
		return verbOf(decideTimer, applyTimer), true
	case record.UndoRequestedKind:
		return verbOf(decideUndo, applyUndo), true
	case record.StateSetKind:
		return verbOf(decideSet, applySet), true
	case record.ExpectSetKind:
		return verbOf(decideExpect, applyExpect), true
	case record.EventExpectedKind:
		return verbOf(decideExpected, applyExpected), true
	case record.LockChangedKind:
		return verbOf(decideLock, applyLock), true
	case record.MetricSetKind:
		return verbOf(decideMetric, applyMetric), true
	case record.DeadlineSetKind:
		return verbOf(decideDeadline, applyDeadline), true
	case record.DeadlineBreachedKind:
		return verbOf(decideBreached, applyBreached), true
	case record.IncidentChangedKind:
		return verbOf(decideIncident, applyIncident), true
	case record.IncidentOpenedKind:
		return verbOf(decideOpened, applyOpened), true
	case record.BrakeSetKind:
		return verbOf(decideBrake, applyBrake), true
	case record.ClockHeldKind:
		return verbOf(decideClock, applyClock), true
	case record.SignInOfferedKind:
		return verbOf(decideSignIn, applySignIn), true
	case record.DevicePairedKind:
		return verbOf(decidePaired, applyPaired), true
	case record.DeviceRevokedKind:
		return verbOf(decideRevoked, applyRevoked), true
	}
	return verb{}, false
}

func always[P any](*tx, P) record.Outcome   { return record.Outcome{Applied: true} }
func nothing[P any](*tx, P, record.Outcome) {}

func refuse(why string) record.Outcome { return record.Outcome{Why: why} }

// Decide implements ledger.Projector.
func (p *Projector) Decide(b *store.Batch, r ledger.Record) (outcome []byte, err error) {
	defer guard(&err)
	v, ok := verbs(r.Header.Kind)
	if !ok {
		return nil, engine.Errorf(engine.Internal, "state: no meaning is known for records of %s", r.Header.Kind)
	}
	t := newTx(b, r, p.runs)
	o, err := v.both(t, r.Payload)
	if err != nil {
		return nil, err
	}
	t.advance(r)
	return record.Marshal(o), nil
}

// Apply implements ledger.Projector.
func (p *Projector) Apply(b *store.Batch, r ledger.Record) (err error) {
	defer guard(&err)
	v, ok := verbs(r.Header.Kind)
	if !ok {
		return engine.Errorf(engine.Internal, "state: no meaning is known for records of %s", r.Header.Kind)
	}
	o, err := record.Unmarshal[record.Outcome](r.Outcome)
	if err != nil {
		return err
	}
	t := newTx(b, r, p.applied)
	payload, whole, err := t.standIn(r)
	if err != nil {
		return err
	}
	if o.Applied && whole {
		if err := v.apply(t, payload, o); err != nil {
			return err
		}
	}
	t.advance(r)
	return nil
}

func newTx(b *store.Batch, r ledger.Record, runs memo) *tx {
	return &tx{Batch: b, shard: r.Header.Shard, rec: r.Header.Record, now: r.Header.Time, runs: runs}
}

// advance stores the projection's position with its writes.
func (t *tx) advance(r ledger.Record) {
	b := binary.BigEndian.AppendUint64(nil, r.Header.Record+1)
	t.Set(key(classPosition, t.shard), binary.BigEndian.AppendUint64(b, r.Header.Epoch))
}

// Committed implements ledger.Projector.
func (p *Projector) Committed(records []ledger.Record) {
	if p.watch == nil {
		return
	}
	notices := make([]Notice, len(records))
	for i, r := range records {
		o, err := record.Unmarshal[record.Outcome](r.Outcome)
		if err != nil {
			continue // Decide wrote it a moment ago
		}
		notices[i] = Notice{r.Header.Kind, r.Header.Shard, r.Header.Record, o}
	}
	p.watch(notices)
}

// Prefixes returns the beginnings of all its keys, one of each class.
func (p *Projector) Prefixes() [][]byte {
	list := make([][]byte, len(classes))
	for i, c := range classes {
		list[i] = []byte{c}
	}
	return list
}
