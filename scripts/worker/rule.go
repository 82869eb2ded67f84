package worker

import (
	"slices"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"larkspur/engine"
)

func ruleSignature() *word {
	params := []engine.Param{
		{Name: "name", Kind: "text", Required: true}, {Name: "when", Kind: "trigger", Required: true}, {Name: "do", Kind: "handler", Required: true},
	}
	for _, name := range []string{
		"args", "title", "severity", "type", "team", "visible", "dedup", "on_attach", "quiet", "throttle", "max_changes",
		"sla", "hours", "on_breach", "saves", "on_failure", "mode",
	} {
		params = append(params, engine.Param{Name: name, Kind: "any"})
	}
	return newWord(engine.Signature{Name: "rule", Params: params})
}

func ruleWord(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	d, err := declaring(thread, ruleSignature(), args, kwargs)
	if d == nil {
		return starlark.None, err
	}
	name := d.name()
	r := engine.Rule{
		Name: name, Title: d.text("title", name), Type: d.text("type", name), At: d.at,
		Severity:  d.choice("severity", "medium", engine.Severities...),
		Team:      d.listed("team", "teams", "the team"),
		Visible:   d.choice("visible", "", "all", "team"),
		Hours:     d.listed("hours", "calendars", "the calendar"),
		OnFailure: d.choice("on_failure", "keep", "keep", "undo"),
		Mode:      d.choice("mode", "live", "live", "shadow", "off"),
		Quiet:     d.duration("quiet"), Saves: d.duration("saves"), SLA: d.sla(),
	}
	r.ThrottleCount, r.ThrottleSpan = d.rate("throttle")
	r.MaxChangesCount, r.MaxChangesSpan = d.rate("max_changes")
	if r.MaxChangesCount > maxMaxChanges {
		d.wrong("max_changes", engine.Errorf(engine.Invalid, "got %d, at most %d", r.MaxChangesCount, maxMaxChanges))
	}
	functions := &ruleFunctions{}
	fields := d.when(&r, functions)
	d.fields = fields
	var keys []string
	r.Args, keys = d.args()
	if h := d.handler("do", []string{"incident"}, keys); h != nil {
		r.Do = *h
	}
	r.OnAttach = d.handler("on_attach", []string{"incident", "event"}, keys)
	r.OnBreach = d.handler("on_breach", []string{"incident"}, keys)
	d.deadlines(r)
	d.dedup(&r, functions, fields)
	d.checkTitle(r.Title, fields)
	if !d.failed {
		d.bundle.declarations.Rules = append(d.bundle.declarations.Rules, r)
		d.bundle.rules[r.Name] = functions
	}
	return starlark.None, nil
}

// maxMaxChanges bounds max_changes: the times of so many effects are kept.
const maxMaxChanges = 1000

// deadlines finds a handler that nothing could call.
func (d *declaration) deadlines(r engine.Rule) {
	if r.OnBreach != nil && len(r.SLA) == 0 {
		d.wrong("on_breach", engine.Errorf(engine.Invalid, `got a handler, and no sla that could be breached`).
			WithHint(`add sla = {"close": "1d"}, or leave on_breach out`))
	}
}

// when reads one trigger or a list, and returns the fields that its events can
// have; nil when that is not known.
func (d *declaration) when(r *engine.Rule, functions *ruleFunctions) []string {
	var list []starlark.Value
	switch v := d.bound["when"].(type) {
	case *triggerValue:
		list = []starlark.Value{v}
	case starlark.Iterable:
		it := v.Iterate()
		defer it.Done()
		for x := starlark.Value(nil); it.Next(&x); {
			list = append(list, x)
		}
	}
	kinds := triggerKinds()
	fields, open := []string{}, false
	for _, x := range list {
		t, ok := x.(*triggerValue)
		if !ok {
			list = nil
			break
		}
		t.Freeze()
		r.When = append(r.When, t.Trigger)
		functions.where = append(functions.where, t.where)
		open = open || kinds[t.Kind].fields == nil
		fields = append(fields, kinds[t.Kind].fields...)
	}
	if len(list) == 0 {
		d.wrong("when", engine.Errorf(engine.Invalid, "got %s, want a trigger like on.dns(…), or a list of them", describe(d.bound["when"])))
		return nil
	}
	if open {
		return nil
	}
	return fields
}

// dedup reads a list of fields or a function of the event.
func (d *declaration) dedup(r *engine.Rule, functions *ruleFunctions, fields []string) {
	v, given := d.bound["dedup"]
	if !given {
		return
	}
	if fn, ok := v.(starlark.Callable); ok {
		where, err := whereFunction(fn)
		if err != nil {
			d.wrong("dedup", err)
		}
		fn.Freeze()
		functions.dedup, r.DedupFunc, r.DedupSet = where, true, true
		return
	}
	value, err := acceptStrings(d.converter, "text|list", v)
	if err != nil {
		d.wrong("dedup", engine.Errorf(engine.Invalid, "got %s, want a list of fields or a function of the event", describe(v)))
		return
	}
	r.DedupSet = true
	for _, x := range value.([]engine.Value) {
		name := x.(string)
		top, _, _ := strings.Cut(name, ".")
		if err := knownField(top, fields); err != nil {
			d.wrong("dedup", err)
		}
		r.Dedup = append(r.Dedup, name)
	}
}

// sla reads {"close": "1d", "respond": "1h"}.
func (d *declaration) sla() map[string]time.Duration {
	v, given := d.bound["sla"]
	if !given {
		return nil
	}
	dict, ok := v.(starlark.IterableMapping)
	if !ok {
		d.wrong("sla", engine.Errorf(engine.Invalid, `got %s, want a dict like {"close": "1d", "respond": "1h"}`, describe(v)))
		return nil
	}
	limits := map[string]time.Duration{}
	for _, item := range dict.Items() {
		name, _ := starlark.AsString(item[0])
		if !slices.Contains([]string{"close", "respond"}, name) {
			d.wrong("sla", engine.Errorf(engine.Invalid, "got the key %s, want close or respond", describe(item[0])))
			continue
		}
		value, err := d.converter.accept("duration", item[1])
		span, _ := value.(time.Duration)
		if err == nil && span == 0 {
			err = engine.Errorf(engine.Invalid, "got %s, want a duration", describe(item[1]))
		}
		if err != nil {
			d.wrong("sla", wrongArgument("", name, err))
		}
		limits[name] = span
	}
	return limits
}

// checkTitle reads the fields in braces; fields nil means any.
func (d *declaration) checkTitle(title string, fields []string) {
	rest := title
	for {
		open := strings.IndexAny(rest, "{}")
		if open < 0 {
			return
		}
		end := strings.IndexByte(rest[open:], '}')
		if rest[open] == '}' || end < 0 {
			d.wrong("title", engine.Errorf(engine.Invalid, "got %.80q, whose braces do not pair", title))
			return
		}
		name := rest[open+1 : open+end]
		top, _, _ := strings.Cut(name, ".")
		if name == "" || strings.Contains(name, "{") {
			d.wrong("title", engine.Errorf(engine.Invalid, "got %.80q, want fields of the event in braces", title))
		} else if err := knownField(top, fields); err != nil {
			d.wrong("title", err)
		}
		rest = rest[open+end+1:]
	}
}
