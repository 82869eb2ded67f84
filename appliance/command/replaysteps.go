package command

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/ui/desk"
)

// ReplayStep is one line of `larkspur replay --run --json` for a step that ended.
type ReplayStep struct {
	Time time.Time   `json:"time"`
	Rule string      `json:"rule"`
	ID   string      `json:"id,omitempty"` // of the incident within the replay
	Run  string      `json:"run"`
	Step engine.Step `json:"step"`
}

// ReplayRun is one for a run that ended, or that waits when nothing more happens.
type ReplayRun struct {
	Time   time.Time     `json:"time"`
	Rule   string        `json:"rule"`
	ID     string        `json:"id,omitempty"`
	Run    string        `json:"run"`
	Status string        `json:"status"`
	Error  *engine.Error `json:"error,omitempty"`
	Waits  string        `json:"waits,omitempty"`
}

// tellSteps returns what prints steps and the ends of runs.
func (c *call) tellSteps(asJSON bool) (step func(engine.Run, engine.Step) error, ended func(engine.Run) error) {
	if !asJSON {
		return c.printStep, c.printRun
	}
	out := json.NewEncoder(c.stdout)
	out.SetEscapeHTML(false)
	step = func(r engine.Run, s engine.Step) error {
		s.Args, s.Result = desk.Plain(s.Args), desk.Plain(s.Result)
		return out.Encode(ReplayStep{s.Ended, r.Rule, r.Incident, r.ID, s})
	}
	ended = func(r engine.Run) error {
		return out.Encode(ReplayRun{lastOf(r), r.Rule, r.Incident, r.ID, r.Status, r.Error, r.Waits})
	}
	return step, ended
}

// lastOf is when a run ended, else when it began.
func lastOf(r engine.Run) time.Time {
	if r.Ended.IsZero() {
		return r.Started
	}
	return r.Ended
}

func (c *call) printStep(r engine.Run, s engine.Step) error {
	result := ""
	if text := shown(s.Result); text != "" && text != "None" {
		result = " → " + text
	}
	if s.Error != nil {
		result = " failed: " + s.Error.Error()
	}
	_, err := fmt.Fprintf(c.stdout, "%s    %-6s %-28s %s(%s)%s\n", s.Ended.Format(time.RFC3339), r.ID, s.At, s.Builtin, shownArgs(s.Args), result)
	return err
}

func (c *call) printRun(r engine.Run) error {
	text := r.Status
	switch {
	case r.Error != nil:
		text += ": " + r.Error.Message
		if r.Error.Hint != "" {
			text += "\n\t" + r.Error.Hint
		}
	case r.Waits != "":
		text += " for " + r.Waits
	}
	_, err := fmt.Fprintf(c.stdout, "%s    %-6s %s\n", lastOf(r).Format(time.RFC3339), r.ID, text)
	return err
}

// shownBytes bounds what a line shows of a value.
const shownBytes = 100

func shown(d engine.Data) string {
	text, rest := desk.Show(d, time.UTC, shownBytes)
	if rest > 0 {
		text += "…"
	}
	return text
}

// shownArgs writes arguments as a script does.
func shownArgs(d engine.Data) string {
	v, err := d.Value()
	args, ok := v.(map[string]engine.Value)
	if err != nil || !ok {
		return ""
	}
	parts := make([]string, 0, len(args))
	for _, name := range slices.Sorted(maps.Keys(args)) {
		parts = append(parts, name+" = "+brief(desk.Literal(args[name], time.UTC)))
	}
	return strings.Join(parts, ", ")
}

func brief(text string) string {
	if r := []rune(strings.ReplaceAll(text, "\n", " ")); len(r) > shownBytes {
		return string(r[:shownBytes]) + "…"
	}
	return text
}
