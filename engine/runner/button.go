package runner

import (
	"context"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/wire"
)

// maxButtonBytes bounds what stands on a button: it has to fit a phone.
const maxButtonBytes = 100

func buttonSignature() engine.Signature {
	return sign("incident.button", engine.Repeatable, "Makes a button: pressing it, once, runs do(i, **args) beside the main run, and reopens a closed incident. Its label and url go into a mail's buttons.",
		required("incident", "text"), required("label", "text"), required("do", "handler"), p("args", "dict"))
}

// performButton puts a button on the run's incident. Its link is a handle, like
// that of a question: no journal holds an address that acts.
func performButton(_ context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	if _, err := c.ownIncident(args); err != nil {
		return c.refuse(s, engine.Errorf(engine.Denied, "incident.button: %s", err.Message).
			WithHint("let incidents.open start a playbook by do: that one makes the buttons of its incident"))
	}
	label := oneLine(text(args["label"]))
	if label == "" || len(label) > maxButtonBytes {
		return c.refuse(s, engine.Errorf(engine.Invalid, "incident.button: label: got %d bytes, want 1 to %d", len(label), maxButtonBytes))
	}
	do, _ := args["do"].(engine.Struct)
	with, err := engine.Encode(args["args"])
	if err != nil {
		return c.refuse(s, asStepError(err, s))
	}
	done, step := c.describe(s), c.key(s)
	if c.run.Mode == modeShadow { // nobody is mailed its link
		return c.answer(done, buttonValue(label, ""), nil)
	}
	done.Button = &record.Button{
		Args: with, Do: engine.Handler{File: text(do.Fields["file"]), Name: text(do.Fields["name"])}, Label: label,
		Token: state.TokenSum(engine.ButtonToken(c.r.cfg.LinkKey, step)),
	}
	return c.answer(done, buttonValue(label, engine.ButtonSecret(step)), nil)
}

func buttonValue(label string, url engine.Value) engine.Value {
	return engine.Struct{Type: "button", Fields: map[string]engine.Value{"label": label, "url": url}}
}

// Press presses a button: by is a person, or engine.ByLink.
func (r *Runner) Press(ctx context.Context, button, by, how string) (engine.Decision, error) {
	return r.decide(ctx, 'b', button, record.ButtonPressedKind, record.ButtonPressed{Button: button, By: by, How: how})
}
