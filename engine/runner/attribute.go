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
	case "status":
		return i.Status, nil
	case "severity":
		return i.Severity, nil
	case "title":
		return i.Title, nil
	case "owner":
		return orNone(i.Owner), nil
	case "team":
		return orNone(i.Team), nil
	case "reporter":
		return nil, nil // nobody reported it: it came from a sensor or a hook
	case "indicators":
		return []engine.Value{}, nil
	case "fields":
		v, err := i.Fields.Value()
		if v == nil {
			v = map[string]engine.Value{}
		}
		return v, err
	case "events":
		return r.events(id)
	case "changes":
		return r.changes(id)
	}
	return nil, engine.Errorf(engine.Invalid, "incident: it has no attribute %q", name)
}

func orNone(s string) engine.Value {
	if s == "" {
		return nil
	}
	return s
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
