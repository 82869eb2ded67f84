package runner

import (
	"context"
	"slices"
	"time"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/wire"
)

// mailWords are the words of the outbox (scripts/library/outbox.star).
func mailWords() []word {
	return []word{
		{internal(sign("question.waits", engine.Read, "Says of a question why it does not wait for a person any more, whom it is put to, and what it asks for besides a choice.",
			required("question", "text"), required("person", "text"))), performWaits},
		{internal(sign("mail.waits", engine.Repeatable, "Says that the mail server did not take a mail yet.",
			required("to", "list"), required("subject", "text"), required("error", "text"), required("tries", "int"), required("next", "time"))), performMailWaits},
		{internal(sign("mail.unsent", engine.Repeatable, "Says that a mail is not wanted any more.", required("why", "text"))), performUnsent},
	}
}

// performWaits reads what a mail says of its question besides what the question
// says, and whether it is wanted.
func performWaits(_ context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	q, err := c.r.cfg.State.Question(text(args["question"]))
	if err != nil {
		return c.refuse(s, asStepError(err, s))
	}
	person, unwanted := text(args["person"]), ""
	switch {
	case q.Status != engine.QuestionOpen:
		unwanted = state.NotOpen(q)
	case slices.ContainsFunc(q.Answers, func(a engine.Answer) bool { return a.By == person }):
		unwanted = "they have answered"
	}
	inputs := []engine.Value{}
	for _, f := range q.Fields {
		inputs = append(inputs, fieldTitle(f))
	}
	return c.answer(c.describe(s), map[string]engine.Value{
		"unwanted": unwanted, "quorum": int64(q.Quorum), "to": addressees(q.To), "inputs": inputs, "reason": q.Why,
	}, nil)
}

// fieldTitle is how people read a field's name.
func fieldTitle(f engine.Field) string {
	if f.Label != "" {
		return f.Label
	}
	return f.Name
}

func performMailWaits(_ context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	m := &record.Mail{Error: text(args["error"]), Subject: text(args["subject"])}
	for _, to := range listOf(args["to"]) {
		m.To = append(m.To, text(to))
	}
	tries, _ := args["tries"].(int64)
	next, _ := args["next"].(time.Time)
	m.Tries, m.Next = int(tries), next.UTC()
	done := c.describe(s)
	done.Mail = m
	return c.answer(done, nil, nil)
}

func performUnsent(_ context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	done := c.describe(s)
	done.Mail = &record.Mail{Unsent: text(args["why"])}
	return c.answer(done, nil, nil)
}
