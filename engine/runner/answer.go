package runner

import (
	"context"

	"larkspur/engine"
	"larkspur/engine/field"
	"larkspur/engine/record"
	"larkspur/engine/state"
)

// Answer answers a question for somebody; the caller has checked who that is. What
// is wrong with the reply is engine.Problems. Whether the answer counts, and
// whether it decides, is decided with its record.
func (r *Runner) Answer(ctx context.Context, question string, reply engine.Reply) (engine.Decision, error) {
	q, err := r.cfg.State.Question(question)
	if err != nil {
		return engine.Decision{}, err
	}
	if q.Status != engine.QuestionOpen { // and never will be again
		return engine.Decision{Why: r.cfg.State.Late(state.NotOpen(q), question)}, nil
	}
	a, files, problems := field.Answer(q, reply, r.cfg.Zone())
	if len(problems) > 0 {
		return engine.Decision{}, problems
	}
	p := record.QuestionAnswered{
		Question: question, By: a.By, Email: a.Email, Choice: a.Choice, Fields: a.Fields, Reason: a.Reason, How: a.How, Proof: reply.Proof, Device: reply.Device,
	}
	for _, f := range files {
		sum, err := r.cfg.State.KeepBlob(f.Content)
		if err != nil {
			return engine.Decision{}, err
		}
		defer r.cfg.State.ReleaseBlob(sum)
		p.Files = append(p.Files, f.Attachment)
	}
	return r.decide(ctx, 'q', question, record.QuestionAnsweredKind, p)
}

// othersFollow is what is said of an answer that counts towards a quorum.
const othersFollow = "it counts; the question is decided when more of those who are asked say the same"
