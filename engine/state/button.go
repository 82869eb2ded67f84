package state

import (
	"crypto/sha256"
	"fmt"

	"larkspur/engine"
	"larkspur/engine/record"
	"larkspur/engine/store"
)

// A button is pressed once: the projector decides which press that is, and starts
// what it does in its record. It opens a closed incident again, since somebody
// wants something of it.

func (t *tx) button(id string) (engine.Button, bool) {
	k, ok := idKey(classButton, 'b', id)
	if !ok {
		return engine.Button{}, false
	}
	return get[engine.Button](t, k)
}

func (t *tx) putButton(b engine.Button) {
	k, _ := idKey(classButton, 'b', b.ID)
	t.put(k, b)
}

func (t *tx) openButton(r engine.Run, step string, p *record.Button, o record.Outcome) {
	t.took(o.Button)
	t.putButton(engine.Button{
		ID: o.Button, Label: p.Label, Incident: r.Incident, Run: r.ID, Step: step, Do: p.Do, Args: p.Args,
		Bundle: r.Bundle, Commit: r.Commit, Made: t.now, Erased: t.erased,
	})
	_, n, _ := engine.ParseID('b', o.Button)
	if _, i, ok := engine.ParseID('i', r.Incident); ok {
		t.mark(pairKey(classButtonOf, t.shard, i, n))
	}
	t.keepLink(p.Token, link{Button: o.Button})
}

const alreadyPressed = "it was pressed already"

func decidePressed(t *tx, p record.ButtonPressed) record.Outcome {
	b, ok := t.button(p.Button)
	switch {
	case !ok:
		return refuse("there is no button " + p.Button)
	case !b.Pressed.IsZero():
		return refuse(alreadyPressed)
	case b.Erased != nil:
		return refuse("what it would start was " + b.Erased.String())
	}
	o := record.Outcome{Applied: true, Button: b.ID, Incident: b.Incident, Run: t.nextID('r')}
	t.comesTrue(&o, b.Incident, AwaitTouched)
	t.mayReopen(&o, b.Incident)
	return o
}

func applyPressed(t *tx, p record.ButtonPressed, o record.Outcome) {
	b, _ := t.button(p.Button)
	b.Pressed, b.By, b.How, b.Pressing = t.now, p.By, p.How, o.Run
	t.putButton(b)
	t.reopen(b.Incident, false)
	made, _ := t.run(b.Run)
	t.startRun(engine.Run{
		ID: o.Run, Incident: b.Incident, Rule: made.Rule, Handler: b.Do, Args: b.Args, Bundle: b.Bundle, Commit: b.Commit, Purpose: PurposeButton,
		Parent: b.Run, Mode: made.Mode, MaxChanges: made.MaxChanges, MaxChangesIn: made.MaxChangesIn, Erased: t.erased,
	})
	t.cameTrue(o.Waited)
	t.tell(b.Incident)
}

// Button returns one button; not_found where there is none.
func (s *State) Button(id string) (b engine.Button, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	k, ok := idKey(classButton, 'b', id)
	if ok {
		b, ok = get[engine.Button](view, k)
	}
	if !ok {
		return b, engine.Errorf(engine.NotFound, "button %q: there is none", id)
	}
	return b, nil
}

// Buttons lists those of an incident, the oldest first.
func (s *State) Buttons(incident string) (list []engine.Button, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	shard, i, ok := engine.ParseID('i', incident)
	if !ok {
		return nil, nil
	}
	eachPart(view, classButtonOf, shard, i, func(n uint64) bool {
		b, found := get[engine.Button](view, nounKey(classButton, shard, n))
		if found {
			list = append(list, b)
		}
		return true
	})
	return list, nil
}

// ButtonByToken returns the button that a link's token presses; not_found for an
// unknown token.
func (s *State) ButtonByToken(token string) (b engine.Button, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	sum := sha256.Sum256([]byte(token))
	for shard := range s.shards {
		l, _ := get[link](view, append(key(classToken, uint16(shard)), sum[:]...))
		if k, ok := idKey(classButton, 'b', l.Button); ok {
			if b, ok = get[engine.Button](view, k); ok {
				return b, nil
			}
		}
	}
	return b, engine.Errorf(engine.NotFound, "link: it leads to no button").
		WithHint("open the link as it stands in the mail; it may have been cut when it was copied")
}

func tellPressed(r store.Reader, p record.ButtonPressed, o record.Outcome, e *engine.TimelineEntry) {
	e.By, e.Run, e.Text = p.By, o.Run, "presses a button"
	if b, ok := get[engine.Button](r, mustKey(classButton, 'b', p.Button)); ok {
		e.Text = fmt.Sprintf("presses: %s", b.Label)
	}
}
