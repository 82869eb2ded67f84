package runner

import (
	"larkspur/engine"
	"larkspur/engine/state"
)

// attribute reads what may change about an incident, as a script sees it.
func (r *Runner) attribute(id, name string) (engine.Value, error) {
	i, err := r.cfg.State.Incident(id)
	if err != nil {
		return nil, err
	}
	switch name {
	case "event":
		if i.Event == "" {
			return nil, nil
		}
		e, err := r.cfg.State.Event(i.Event)
		return eventValue(e), err
	case "events":
		return r.events(id)
	case "changes":
		return r.changes(id)
	}
	return r.plainAttribute(i, name)
}

// plainAttribute reads what the incident itself holds; of the zero one, which is
// none, it is nothing.
func (r *Runner) plainAttribute(i engine.Incident, name string) (engine.Value, error) {
	switch name {
	case "rule":
		return orNone(i.Rule), nil
	case "type":
		return orNone(i.Type), nil
	case "reason":
		return orNone(i.Reason), nil
	case "opened":
		if i.Opened.IsZero() {
			return nil, nil
		}
		return i.Opened, nil
	case "link":
		if i.ID == "" {
			return nil, nil
		}
		return r.cfg.Link("incidents/" + i.ID), nil
	case "status":
		return orNone(i.Status), nil
	case "severity":
		return orNone(i.Severity), nil
	case "title":
		return orNone(i.Title), nil
	case "owner":
		return orNone(i.Owner), nil
	case "team":
		return orNone(i.Team), nil
	case "reporter":
		if i.Reporter == nil {
			return nil, nil // it came from a sensor or a hook
		}
		return engine.Struct{Type: "reporter", Fields: map[string]engine.Value{"name": i.Reporter.Name, "email": i.Reporter.Email, "verified": i.Reporter.Verified}}, nil
	case "indicators":
		if i.ID == "" {
			return []engine.Value{}, nil
		}
		list, err := r.cfg.State.Indicators(i.ID)
		return IndicatorValues(list), err
	case "events", "changes":
		return []engine.Value{}, nil
	case "fields":
		v, err := i.Fields.Value()
		if v == nil {
			v = map[string]engine.Value{}
		}
		return v, err
	case "event":
		return nil, nil
	}
	return nil, engine.Errorf(engine.Invalid, "incident: it has no attribute %q", name)
}

func orNone(s string) engine.Value {
	if s == "" {
		return nil
	}
	return s
}

// IndicatorValues are indicators as a script sees them.
func IndicatorValues(list []engine.Indicator) []engine.Value {
	values := make([]engine.Value, len(list))
	for n, i := range list {
		sources := make([]engine.Value, len(i.Sources))
		for k, s := range i.Sources {
			sources[k] = s
		}
		values[n] = engine.Struct{Type: "indicator", Fields: map[string]engine.Value{
			"value": i.Value, "kind": i.Kind, "verdict": i.Verdict, "sources": sources, "at": i.At,
		}}
	}
	return values
}

// events lists the events of an incident, oldest first, as dicts.
func (r *Runner) events(id string) (engine.Value, error) {
	list := []engine.Value{}
	err := state.Each(func(cursor string) ([]engine.Event, string, error) {
		return r.cfg.State.IncidentEvents(id, cursor, state.MaxPage)
	}, func(e engine.Event) error {
		list = append(list, eventValue(e))
		return nil
	})
	return list, err
}

// eventValue is an event as a script gets it.
func eventValue(e engine.Event) engine.Value {
	fields := e.Fields
	if fields == nil {
		fields = map[string]engine.Value{}
	}
	return engine.Struct{Type: "event", Fields: map[string]engine.Value{
		"id": e.ID, "time": e.Time, "kind": e.Kind, "source": e.Source, "fields": fields,
	}}
}

func (r *Runner) changes(id string) (engine.Value, error) {
	changes, _, err := r.cfg.State.Changes(engine.ChangeFilter{Incident: id}, "", state.MaxPage)
	if err != nil {
		return nil, err
	}
	list := make([]engine.Value, 0, len(changes))
	for _, ch := range changes {
		var expires engine.Value
		if !ch.Expires.IsZero() {
			expires = ch.Expires
		}
		list = append(list, engine.Struct{Type: "change", Fields: map[string]engine.Value{
			"id": ch.ID, "title": ch.Title, "status": ch.Status, "why": ch.Why, "made": ch.Made, "expires": expires, "step": ch.Step,
		}})
	}
	return list, nil
}
