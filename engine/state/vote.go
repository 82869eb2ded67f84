package state

import (
	"slices"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// A question with a quorum is decided when so many different people gave the same
// choice, or, where there is none to give, have answered. Who answers again says
// something else: only their newest answer counts. When all have answered and no
// choice has enough, they do not agree, and the question ends as if its time were
// over.

// What became of an answer towards a quorum; of one that decides there is none.
const (
	// Counted is the action of an answer after which others have to follow.
	Counted = "counted"
	split   = "split" // of the last one, when they do not agree
)

// NotAsked is why an answer to a question with a quorum does not count. Nobody
// answers for others there: they could be counted twice.
const NotAsked = "it takes the answers of those who are asked, of each their own"

// seatOf is the place of who answers among those who are asked, from 1; 0 for
// somebody else.
func seatOf(q engine.Question, p record.QuestionAnswered) int {
	by := engine.Addressee{Name: p.By, Email: p.Email}
	return 1 + slices.IndexFunc(q.To, by.Same)
}

// voted is what people have answered, with one more answer.
func voted(q engine.Question, a engine.Answer) []engine.Answer {
	all := slices.Clone(q.Answers)
	at := slices.IndexFunc(all, func(b engine.Answer) bool { return b.Seat == a.Seat })
	if at < 0 {
		return append(all, a)
	}
	all[at] = a
	return all
}

func (t *tx) decideVote(q engine.Question, p record.QuestionAnswered) record.Outcome {
	seat := seatOf(q, p)
	if seat == 0 {
		return refuse(NotAsked)
	}
	o := record.Outcome{Applied: true, Question: q.ID, Picked: seat}
	all := voted(q, engine.Answer{Choice: p.Choice, Seat: seat})
	same := 0
	for _, a := range all {
		if a.Choice == p.Choice {
			same++
		}
	}
	switch {
	case same >= q.Quorum:
	case len(all) >= len(q.To):
		o.Action = split
	default:
		o.Action = Counted
	}
	what := []string{AwaitTouched}
	if o.Action != Counted {
		o.Woken = []string{q.Run}
	}
	if o.Action == "" {
		what = append(what, AwaitAnswered)
	}
	t.comesTrue(&o, q.Incident, what...)
	t.responds(&o, q.Incident, true)
	return o
}

func (t *tx) applyVote(q engine.Question, p record.QuestionAnswered, o record.Outcome) {
	a := answerOf(p, t.now)
	a.Seat = o.Picked
	q.Answers = voted(q, a)
	if t.erased != nil {
		q.Erased = t.erased
	}
	t.keepFiles(q, p)
	t.responded(q.Incident, o)
	switch o.Action {
	case Counted:
		t.putQuestion(q, q.Status)
		t.tell(q.Incident)
	case split:
		q.Status, q.Answer = engine.QuestionTimedOut, lateAnswer(q, t.now)
		t.endQuestion(q, viaTimer)
	default:
		q.Status, q.Answer = engine.QuestionAnswered, &a
		t.endQuestion(q, viaAnswer)
	}
	t.cameTrue(o.Waited)
}

func answerOf(p record.QuestionAnswered, at time.Time) engine.Answer {
	return engine.Answer{Choice: p.Choice, By: p.By, Email: p.Email, At: at, Fields: p.Fields, Reason: p.Reason, How: p.How, Proof: p.Proof, Device: p.Device}
}

// lateAnswer is what a question comes to that nobody decided.
func lateAnswer(q engine.Question, at time.Time) *engine.Answer {
	return &engine.Answer{Choice: q.Default, By: "nobody", At: at, TimedOut: true}
}

// votes are the answers of a question with a quorum, as ask returns them; nil for
// others. rec is the record that ended it.
func votes(r store.Reader, rec ledger.Record, started *record.StepStarted) ([]engine.Answer, error) {
	if started.Question == nil || started.Question.Quorum == 0 {
		return nil, nil
	}
	o, err := record.Unmarshal[record.Outcome](rec.Outcome)
	if err != nil {
		return nil, err
	}
	q, _ := get[engine.Question](r, mustKey(classQuestion, 'q', o.Question))
	if q.Answers == nil {
		return []engine.Answer{}, nil
	}
	return q.Answers, nil
}
