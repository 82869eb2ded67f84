package desk

import (
	"context"
	"strings"

	"larkspur/engine"
	"larkspur/ui/login"
)

// MaxText bounds what a person writes: reasons and notes.
const MaxText = 4 << 10

// Problems are a person's mistakes by the name of the input: "choice",
// "reason", "text", "typed" or "field.NAME".
type Problems = engine.Problems

// Permit returns an error of kind denied unless the identity has a right.
func Permit(who login.Identity, r login.Right) error {
	if who.May(r) {
		return nil
	}
	return engine.Errorf(engine.Denied, "the role %s may not do this", who.Role).
		WithHint("It takes the role %s.", list(login.RolesWith(r), "or"))
}

func list(words []string, last string) string {
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], ", ") + " " + last + " " + words[n-1]
	}
	return strings.Join(words, "")
}

// text checks what a person wrote.
func text(name, value string, required bool) error {
	switch {
	case required && strings.TrimSpace(value) == "":
		return Problems{name: "must be filled in"}
	case len(value) > MaxText:
		return Problems{name: "is too long: at most 4,096 characters"}
	}
	return nil
}

// Close closes an incident on behalf of a person. An empty code means
// "resolved".
func (d *Desk) Close(ctx context.Context, who login.Identity, id, reason, code string) (engine.Decision, error) {
	if err := d.mayWork(who, id); err != nil {
		return engine.Decision{}, err
	}
	if err := text("reason", reason, true); err != nil {
		return engine.Decision{}, err
	}
	if err := text("code", code, false); err != nil {
		return engine.Decision{}, err
	}
	if code == "" {
		code = "resolved"
	}
	return d.Decider.CloseIncident(ctx, id, strings.TrimSpace(reason), code, who.Name)
}

// Reopen opens a closed incident again.
func (d *Desk) Reopen(ctx context.Context, who login.Identity, id, reason string) (engine.Decision, error) {
	if err := d.mayWork(who, id); err != nil {
		return engine.Decision{}, err
	}
	if err := text("reason", reason, false); err != nil {
		return engine.Decision{}, err
	}
	return d.Decider.ReopenIncident(ctx, id, strings.TrimSpace(reason), who.Name)
}

// Note writes a note on an incident.
func (d *Desk) Note(ctx context.Context, who login.Identity, id, note string) (engine.Decision, error) {
	if err := d.mayWork(who, id); err != nil {
		return engine.Decision{}, err
	}
	if err := text("text", note, true); err != nil {
		return engine.Decision{}, err
	}
	return d.Decider.Note(ctx, id, strings.TrimSpace(note), who.Name)
}

// Assign gives an incident to a person or a team; pick, of a team's: less-busy or
// random.
func (d *Desk) Assign(ctx context.Context, who login.Identity, id, to, pick string) (engine.Decision, error) {
	if err := d.mayWork(who, id); err != nil {
		return engine.Decision{}, err
	}
	if err := text("to", to, true); err != nil {
		return engine.Decision{}, err
	}
	done, err := d.Decider.Assign(ctx, id, strings.TrimSpace(to), pick, who.Name)
	return done, problem("to", err)
}

// Escalate sets an incident's severity.
func (d *Desk) Escalate(ctx context.Context, who login.Identity, id, severity string) (engine.Decision, error) {
	if err := d.mayWork(who, id); err != nil {
		return engine.Decision{}, err
	}
	done, err := d.Decider.Escalate(ctx, id, severity, who.Name)
	return done, problem("severity", err)
}

// MaxFacts bounds the facts that are set at once.
const MaxFacts = 64

// SetFacts sets summary facts of an incident, in their order.
func (d *Desk) SetFacts(ctx context.Context, who login.Identity, id string, facts map[string]engine.Value, order []string) (engine.Decision, error) {
	if err := d.mayWork(who, id); err != nil {
		return engine.Decision{}, err
	}
	if len(order) == 0 || len(order) > MaxFacts {
		return engine.Decision{}, Problems{"fields": "must be 1 to 64 facts"}
	}
	for _, name := range order {
		if err := text("name", name, true); err != nil {
			return engine.Decision{}, err
		}
	}
	done, err := d.Decider.SetFacts(ctx, id, facts, order, who.Name)
	return done, problem("value", err)
}

// problem makes a mistake of the input one that is shown at its place.
func problem(name string, err error) error {
	if err == nil || engine.KindOf(err) != engine.Invalid {
		return err
	}
	e := engine.AsError(err)
	what := e.Message
	if e.Hint != "" {
		what += " (" + e.Hint + ")"
	}
	return Problems{name: what}
}

func (d *Desk) mayWork(who login.Identity, incident string) error {
	if err := Permit(who, login.Work); err != nil {
		return err
	}
	_, err := d.Incident(who, incident)
	return err
}

// Undo takes a change back: with the scripts that made it, or the live ones.
func (d *Desk) Undo(ctx context.Context, who login.Identity, id, why string, current bool) (engine.Decision, error) {
	if err := Permit(who, login.Work); err != nil {
		return engine.Decision{}, err
	}
	if _, err := d.Change(who, id); err != nil {
		return engine.Decision{}, err
	}
	if err := text("reason", why, false); err != nil {
		return engine.Decision{}, err
	}
	return d.Decider.UndoChange(ctx, id, who.Name, strings.TrimSpace(why), current)
}

// Asked reports whether a question is put to somebody.
func Asked(who login.Identity, q engine.Question) bool {
	for _, to := range q.To {
		if who.Is(to) {
			return true
		}
	}
	return false
}

// MayAnswer reports whether somebody may answer a question.
func MayAnswer(who login.Identity, q engine.Question) bool {
	return who.May(login.AnyAsked) || who.May(login.Answer) && Asked(who, q)
}

// Answer answers a question as a signed-in person or a token's user. Errors are
// Problems for mistakes of the input, else of kind denied, not_found …
func (d *Desk) Answer(ctx context.Context, who login.Identity, id string, in Input) (engine.Decision, error) {
	if err := Permit(who, login.Answer); err != nil {
		return engine.Decision{}, err
	}
	q, err := d.Question(who, id)
	if err != nil {
		return engine.Decision{}, err
	}
	if !MayAnswer(who, q) {
		return engine.Decision{}, engine.Errorf(engine.Denied, "question %s is put to %s", id, Addressees(q.To)).
			WithHint("Only they, or an administrator, may answer it.")
	}
	if q.Quorum > 0 && !Asked(who, q) {
		return engine.Decision{}, engine.Errorf(engine.Denied, "question %s wants %d of %s to say the same", id, q.Quorum, Addressees(q.To)).
			WithHint("Nobody answers for others there: they could be counted twice. Close the incident to withdraw it.")
	}
	proof, err := d.proofOf(q, who)
	if err != nil {
		return engine.Decision{}, err
	}
	r := in.reply(engine.Addressee{Name: who.Name, Email: who.Email}, who.How)
	r.Proof, r.Device = proof, who.Device.ID
	return d.answer(ctx, q, in, r)
}

// proofOf is what proves somebody who is signed in, or a token's user, for a
// question. Errors: denied, when it is not enough.
func (d *Desk) proofOf(q engine.Question, who login.Identity) (string, error) {
	switch {
	case q.Proof == ProofTyped:
		return ProofTyped, nil // CheckAnswer looks at what was typed
	case who.How == "command":
		return engine.ProofCommand, nil
	case q.Proof == ProofLogin && !who.Device.Fresh(d.Clock.Now()):
		return "", engine.Errorf(engine.Denied, "this question takes a sign-in of the last 15 minutes").
			WithHint("Nothing was decided. Open its page in a browser and sign in again there.")
	case q.Proof == ProofLogin:
		return ProofLogin, nil
	case who.Device.ID == "":
		return engine.ProofToken, nil
	}
	return ProofDevice, nil
}

// AnswerLink answers a question as the addressee whose link it is. who is the
// browser that it comes from: of nobody, if it is not paired.
func (d *Desk) AnswerLink(ctx context.Context, q engine.Question, to engine.Addressee, who login.Identity, in Input) (engine.Decision, error) {
	proof, err := d.proofOfLink(q, to, who)
	if err != nil {
		return engine.Decision{}, err
	}
	r := in.reply(to, "link")
	if r.Proof = proof; engine.FromDevice(proof) {
		r.Device = who.Device.ID
	}
	return d.answer(ctx, q, in, r)
}

// Lacks says what a visitor with an addressee's link has to do before they can answer:
// "pair" this browser with the addressee, or sign in "again"; "" for nothing.
func (d *Desk) Lacks(q engine.Question, to engine.Addressee, who login.Identity) string {
	switch {
	case q.Proof != ProofDevice && q.Proof != ProofLogin:
		return ""
	case !d.Devices.Belongs(who.Device, to):
		return "pair"
	case q.Proof == ProofLogin && !who.Device.Fresh(d.Clock.Now()):
		return "again"
	}
	return ""
}

func (d *Desk) proofOfLink(q engine.Question, to engine.Addressee, who login.Identity) (string, error) {
	switch d.Lacks(q, to, who) {
	case "pair":
		return "", engine.Errorf(engine.Denied, "this question takes a browser that is paired with %s", Addressees([]engine.Addressee{to})).
			WithHint("Nothing was decided. Open the link again and have a code sent to you; then answer.")
	case "again":
		return "", engine.Errorf(engine.Denied, "this question takes a sign-in of the last 15 minutes").
			WithHint("Nothing was decided. Open the link again and sign in again there; then answer.")
	}
	switch {
	case q.Proof == ProofLogin, q.Proof == ProofTyped:
		return q.Proof, nil
	case d.Devices.Belongs(who.Device, to):
		return ProofDevice, nil
	}
	return ProofLink, nil
}

// answer gives a reply, which has all of the input and of who gives it.
func (d *Desk) answer(ctx context.Context, q engine.Question, in Input, r engine.Reply) (engine.Decision, error) {
	if q.Status != engine.QuestionOpen {
		return engine.Decision{Why: "the question is " + Status(q.Status)}, nil
	}
	if problems := CheckInput(q, in, d.Zone()); len(problems) > 0 {
		return engine.Decision{}, problems
	}
	return d.Decider.Answer(ctx, q.ID, r)
}

// Addressees names who is asked, in a sentence.
func Addressees(to []engine.Addressee) string {
	names := make([]string, len(to))
	for i, a := range to {
		names[i] = a.Name
		if a.Name == "" {
			names[i] = a.Email
		}
	}
	if len(names) == 0 {
		return "nobody"
	}
	return list(names, "or")
}

// Status is a status in words.
func Status(s string) string { return strings.ReplaceAll(s, "_", " ") }
