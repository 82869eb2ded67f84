package email

import (
	"context"

	"larkspur/engine"
)

// reply writes to who reported the run's incident: a mail like any other, in the
// incident's thread. Whoever reported it has no account and no page: what they get
// here is all that they are told.
func (m *module) reply(ctx context.Context, c *engine.Call) (engine.Result, error) {
	to, about, err := m.reporterOf(c)
	if err != nil {
		return engine.Result{}, err
	}
	answer := *c
	answer.Args = map[string]engine.Value{"to": to, "subject": "Re: " + about, "body": c.Text("text")}
	for _, name := range []string{"buttons", "attachments"} {
		if v := c.Args[name]; v != nil {
			answer.Args[name] = v
		}
	}
	return m.send(ctx, &answer)
}

// reporterOf returns the address of who reported the incident, and its title.
func (m *module) reporterOf(c *engine.Call) (address, title string, err error) {
	if c.Text("incident") != c.Incident {
		return "", "", engine.Errorf(engine.Denied, "%s: a run answers the reporter of its own incident, %q", c.Name, c.Incident)
	}
	if m.env.Incident == nil {
		return "", "", engine.Errorf(engine.Internal, "%s: incidents cannot be read here", c.Name)
	}
	i, err := m.env.Incident(c.Incident)
	switch {
	case err != nil:
		return "", "", engine.WrapError(engine.Internal, err, c.Name)
	case i.Reporter == nil:
		return "", "", engine.Errorf(engine.NotFound, "%s: nobody reported incident %s: it came from a sensor, a hook or a job", c.Name, i.ID).
			WithHint("whoever opens it by incidents.open says reporter = …; ask `if i.reporter:` where it may be missing")
	case i.Reporter.Email == "":
		return "", "", engine.Errorf(engine.NotFound, "%s: no address is known of %q, who reported incident %s", c.Name, i.Reporter.Name, i.ID)
	}
	return i.Reporter.Email, i.Title, nil
}
