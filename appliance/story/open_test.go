package story

import (
	"strings"
	"testing"

	"larkspur/engine"
)

const outage = `
def repair(i, name):
    a = ask("dave", "%s: %s. What now?" % (name, i.fields["why"]), choices = ["Restart", "Leave"])
    i.set(decision = a.choice)
    i.close(a.choice + " by " + a.by.name)

def look():
    i = incidents.open("blog is down", type = "outage", severity = "high", dedup = ["blog"], fields = {"why": "no answer"},
        do = repair, args = {"name": "blog"})
    if i.new:
        i.assign("dave")

job(name = "blog", every = "1s", do = look)
`

// TestAJobOpensAnIncidentThatAsks: a schedule finds something wrong, opens one
// incident however often it looks, whose run asks a person; that person works it
// from a terminal and by the interface, and answers.
func TestAJobOpensAnIncidentThatAsks(t *testing.T) {
	t.Parallel()
	b := serve(t)
	c := b.client()
	in := []string{"-C", b.dir}
	b.put(t, "scripts/outage.star", outage)
	var all list[engine.Incident]
	must(t, eventually(b.ctx, func() bool {
		return c.get(b.ctx, "/api/v1/incidents?type=outage&owner=dave", &all) == nil && len(all.Items) > 0
	}))
	id := all.Items[0].ID
	wantCommand(t, "done", append([]string{"incidents", "escalate", id, "critical"}, in...)...)
	wantCommand(t, "done", append([]string{"incidents", "set", id, "ticket=T-1"}, in...)...)
	if no, err := c.call(b.ctx, "POST", "/api/v1/incidents/"+id+"/assign", map[string]any{"to": "ana"}, nil); err != nil || no != nil {
		t.Fatalf("assign: got %+v, %v", no, err)
	}
	wantCommand(t, "blog is down", append([]string{"incidents", "list", "--owner", "ana"}, in...)...)
	one := new(incident)
	must(t, eventually(b.ctx, func() bool {
		one = new(incident)
		return c.get(b.ctx, "/api/v1/incidents/"+id, one) == nil && len(one.Questions) == 1
	}))
	if no, err := c.call(b.ctx, "POST", "/api/v1/questions/"+one.Questions[0].ID+"/answer", map[string]any{"choice": "Restart"}, nil); err != nil || no != nil {
		t.Fatalf("the answer: got %+v, %v", no, err)
	}
	must(t, eventually(b.ctx, func() bool {
		one = new(incident)
		return c.get(b.ctx, "/api/v1/incidents/"+id, one) == nil && one.Status == engine.IncidentClosed
	}))
	if !strings.HasPrefix(one.Reason, "Restart by ") || one.Severity != "critical" || one.Owner != "ana" {
		t.Errorf("got %s, %s, %s", one.Reason, one.Severity, one.Owner)
	}
	for _, want := range []string{"opened by a run of blog", "assigns it to dave", "sets the severity to critical", "sets ticket", "assigns it to ana"} {
		if !strings.Contains(one.told(), want) {
			t.Errorf("the story lacks %q:\n%s", want, one.told())
		}
	}
}
