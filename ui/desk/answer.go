package desk

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/field"
)

// Proofs that a question may ask for.
const (
	ProofDevice = engine.ProofDevice
	ProofLink   = engine.ProofLink
	ProofTyped  = engine.ProofTyped
	ProofLogin  = engine.ProofLogin
)

// Input is what a person gave, before it is checked. The texts of one file field
// are none: its file stands in Files.
type Input struct {
	Choice, Reason string
	// Typed is the choice's name, written out, where the proof is "typed".
	Typed string
	// Fields by name; several values only for the kind "many".
	Fields map[string][]string
	// Files by the name of their field.
	Files map[string][]engine.Upload
}

// reply is what the engine gets of an input.
func (in Input) reply(by engine.Addressee, how string) engine.Reply {
	return engine.Reply{Choice: in.Choice, Reason: in.Reason, Fields: in.Fields, Files: in.Files, By: by, How: how}
}

// CheckInput finds every mistake of an input to a question: those that the engine
// would find, and a choice that is not written out. Dates are read in zone.
func CheckInput(q engine.Question, in Input, zone *time.Location) Problems {
	_, _, problems := field.Answer(q, in.reply(engine.Addressee{}, ""), zone)
	typed := strings.EqualFold(strings.TrimSpace(in.Typed), in.Choice)
	if q.Proof == ProofTyped && len(q.Choices) > 0 && problems["choice"] == "" && !typed {
		problems["typed"] = "type " + strconv.Quote(in.Choice) + " here to confirm this choice"
	}
	return problems
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
