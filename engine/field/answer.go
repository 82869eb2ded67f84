package field

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"larkspur/engine"
)

// MaxReason bounds the reason that a person gives.
const MaxReason = 4 << 10

// Answer checks a person's reply to a question and makes the answer of it, with
// the files to keep. Every mistake is found, not the first alone.
func Answer(q engine.Question, r engine.Reply, zone *time.Location) (a engine.Answer, keep []File, problems engine.Problems) {
	values, keep, problems := Values(q.Fields, r.Fields, r.Files, zone)
	checkChoice(q, r.Choice, problems)
	a = engine.Answer{Choice: r.Choice, By: r.By.String(), Email: r.By.Email, Reason: strings.TrimSpace(r.Reason), How: r.How}
	switch {
	case q.Why && a.Reason == "":
		problems["reason"] = "must be filled in: a reason is asked for"
	case len(a.Reason) > MaxReason:
		problems["reason"] = "is too long: at most 4,096 characters"
	case !utf8.ValidString(a.Reason):
		problems["reason"] = "is not valid text"
	}
	if len(problems) == 0 && len(q.Fields) > 0 {
		a.Fields = engine.MustEncode(values)
	}
	return a, keep, problems
}

func checkChoice(q engine.Question, choice string, problems engine.Problems) {
	names := make([]string, len(q.Choices))
	for i, c := range q.Choices {
		names[i] = c.Name
	}
	switch {
	case len(names) == 0 && choice != "":
		problems["choice"] = "there is nothing to choose in this question"
	case len(names) == 0:
	case choice == "":
		problems["choice"] = "choose one: " + Listed(names, "or")
	case !slices.Contains(names, choice):
		problems["choice"] = "got " + quoted(choice) + ", want " + Listed(names, "or")
	}
}
