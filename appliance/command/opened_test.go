package command

import "testing"

// Incidents that a test begins with, and those that playbooks open.
func TestTestsOfOpenedIncidents(t *testing.T) {
	code, lines, said := tested(t, map[string]string{"scripts/outage.star": `
def repair(i, name):
    a = ask("dave", "Repair %s?" % name, choices = ["Yes", "No"])
    i.close(a.choice)

def check():
    b = incidents.baseline("outage")
    old = incidents.find(type = "outage", status = "open", where = lambda x: x.fields.get("name") == "blog")
    print(b.now, b.normal, b.percent, len(old), incidents.count(status = "closed"))
    for name in ["blog", "shop"]:
        incidents.open(name + " is down", type = "outage", severity = "high", dedup = [name], do = repair, args = {"name": name})
    incidents.open("noted", type = "note", reporter = "dave")

job(name = "look", every = "5m", do = check)
`, "scripts/outage_test.star": `
def test_opens(t):
    seed = t.incident("outage", severity = "low", fields = {"name": "blog", "n": 1}, age = "7d")
    t.incident("outage", status = "closed", age = "14d")
    t.incident("outage", age = "10m")
    t.eq(seed.fields, {"name": "blog", "n": 1})
    t.eq((seed.status, seed.severity, seed.type), ("open", "low", "outage"))
    t.answer("dave", "Yes")
    r = t.job("look")
    t.eq(r.log, ["1 0.5 200 1 1"])
    t.eq([i.title for i in r.incidents], ["blog is down", "shop is down", "noted"])
    t.eq(sorted([i.reason for i in r.incidents[:2]]), ["", "Yes"])
    t.eq(r.incident.status in ["open", "closed"], True)
    t.eq(r.incidents[2].reporter.name, "dave")
    t.eq(len(r.questions), 2)
    t.eq(len(t.job("look").incidents), 2)

def test_wrong(t):
    t.fails(lambda: t.incident("outage", severity = "urgent"), "severity")
    t.fails(lambda: t.incident("outage", status = "shut"), "status")
`})
	if code != 0 {
		t.Errorf("got exit %d\n%+v\n%s", code, lines, said)
	}
}
