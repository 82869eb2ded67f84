package worker

import (
	"testing"

	"larkspur/engine"
	"larkspur/engine/wire"
)

func TestFields(t *testing.T) {
	p := newPlay(t)
	p.run.Handler.Name = "f"
	p.answer = func(s *wire.Step) wire.Answer { return wire.Answer{Result: engine.MustEncode(nil)} }
	end := p.on(loadGood(t, `
WHAT = [
    field.text("reason", multiline = True, max = 200),
    field.choice("how", ["mail", "phone"], label = "How"),
    field.many("days", choices = ["mon", "tue"], required = False),
    field.duration("how_long", max = "30d"),
]

def f():
    print([x.kind + ":" + x.name for x in WHAT], WHAT[0].multiline, WHAT[1].label, WHAT[2].required, WHAT[3].max)
`))
	if end.Status != engine.RunDone {
		t.Fatalf("got %+v, want done", end)
	}
	args, err := p.asked[0].Args.Value()
	if err != nil {
		t.Fatal(err)
	}
	got := args.(map[string]engine.Value)["text"]
	want := `["text:reason", "choice:how", "many:days", "duration:how_long"] True How False 30d`
	if got != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestWrongFields(t *testing.T) {
	for source, want := range map[string]string{
		`field.text()`:                       `field.text: missing argument name`,
		`field.text("x", multilin = True)`:   `field.text: unexpected argument "multilin"`,
		`field.choice("x")`:                  `field.choice: missing argument choices`,
		`field.text("x", multiline = "yes")`: `field.text: multiline: got "yes", want True or False`,
	} {
		b := loadFiles(map[string]string{"a.star": source})
		if len(b.declarations.Problems) != 1 || b.declarations.Problems[0].Message != want {
			t.Errorf("%s: got %v, want %s", source, formatProblems(b), want)
		}
	}
}
