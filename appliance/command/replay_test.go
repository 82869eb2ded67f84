package command

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"larkspur/appliance/demo/workspace"
)

// u2 writes the demo's playbook with a workspace that has its people, and the
// files of a replay; it returns their folder.
func u2(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files = mapsWith(files, map[string]string{
		"scripts/netflix.star": workspace.Script(),
		"larkspur.yaml": `timezone: UTC
people: {dave: {email: dave@example.org, role: admin}, ana: {email: ana@example.org}}
connections: {unifi: {home: {url: "https://192.0.2.1", api_key: secret:unifi}}}
`,
		"box.yaml": "admins: [dave]\n",
		"events.jsonl": `{"kind": "dns", "source": "sensor", "time": "2026-11-22T20:00:00Z", "fields": {"client": "192.0.2.7", "query": "www.netflix.com", "type": "A", "response": false}}
`,
	})
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mapsWith(a, b map[string]string) map[string]string {
	for name, text := range a {
		b[name] = text
	}
	return b
}

const awayThenWhy = `fakes:
  unifi.client:
    - {mac: "02:00:00:00:00:01", online: false}
    - {mac: "02:00:00:00:00:07", name: tv, online: true}
answers:
  - {who: dave, choice: Ask why, after: 5m}
  - {who: ana, fields: {reason: homework is done}, after: 10m}
  - {who: dave, choice: Block, after: 1m}
`

// replayedSteps runs a replay and returns "BUILTIN at TIME" of each step, and the
// statuses of the runs.
func replayedSteps(t *testing.T, dir string) (steps, statuses []string, said string) {
	t.Helper()
	_, out, said := larkspur(t, "replay", dir, filepath.Join(dir, "events.jsonl"), "--answers", filepath.Join(dir, "answers.yaml"), "--json")
	for _, line := range strings.Split(strings.TrimSpace(out), "\n")[1:] {
		var l struct {
			ReplayRun
			Step *struct {
				Builtin string    `json:"builtin"`
				Ended   time.Time `json:"ended"`
			} `json:"step"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if l.Step != nil {
			steps = append(steps, l.Step.Builtin+" at "+l.Step.Ended.Format("15:04"))
			continue
		}
		text := l.Run + " " + l.Status
		if l.Error != nil {
			text += ": " + l.Error.Error()
		}
		statuses = append(statuses, text)
	}
	return steps, statuses, said
}

// The whole of U2 by its answers: hours pass at once, the block expires.
func TestReplayRunsPlaybooks(t *testing.T) {
	dir := u2(t, map[string]string{"answers.yaml": awayThenWhy})
	steps, statuses, said := replayedSteps(t, dir)
	want := []string{
		"unifi.client at 20:00", "unifi.client at 20:00", "incident.set at 20:00", "ask at 20:05", "ask at 20:15", "incident.set at 20:15",
		"ask at 20:16", "unifi.block at 20:16", "incident.set at 20:16", "incident.close at 20:16", "unifi.unblock at 20:18",
		"change.settled at 20:18",
	}
	if !slices.Equal(steps, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(steps, "\n"), strings.Join(want, "\n"))
	}
	if len(statuses) != 2 || !strings.HasSuffix(statuses[0], " done") || !strings.HasSuffix(statuses[1], " done") {
		t.Errorf("got %q, want a playbook and an undo that are done", statuses)
	}
	if want := "1 event, 1 match, 1 incident opened\n"; said != want {
		t.Errorf("got %q, want %q", said, want)
	}
}

// Without answers defaults decide, and a read that nothing stands in for says
// what to write.
func TestReplayWithoutAnswers(t *testing.T) {
	for name, c := range map[string]struct{ answers, steps, status, said string }{
		"no fake": {"answers: []\n", "unifi.client at 20:00", "r0-1 failed", "1 incident opened"},
		"default": {"fakes: {unifi.client: [null, {mac: \"02:00:00:00:00:07\", name: tv}]}\n",
			"ask at 22:00", "r0-1 done", "1 incident opened"},
		"an error": {"fakes: {unifi.client: {error: {kind: timeout, message: no answer}}}\n",
			"unifi.client at 20:00", "no answer", "1 incident opened"},
		"used up": {"fakes: {unifi.client: [null]}\n", "unifi.client at 20:00", "this is call number 2, and the answers file has 1", "opened"},
		"not asked": {"fakes: {unifi.client: {online: true}}\nanswers: [{who: ana, choice: Allow}]\n",
			"incident.close at 20:00", "r0-1 done", `the answer of "ana" was not asked for`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := u2(t, map[string]string{"answers.yaml": c.answers})
			steps, statuses, said := replayedSteps(t, dir)
			if !slices.Contains(steps, c.steps) || !strings.Contains(strings.Join(statuses, "\n"), c.status) || !strings.Contains(said, c.said) {
				t.Errorf("got %q, %q, %q; want %q, %q, %q", steps, statuses, said, c.steps, c.status, c.said)
			}
		})
	}
}

func TestReplayRefusesBadAnswers(t *testing.T) {
	for answers, want := range map[string]string{
		"fakes: {unifi.clint: 1}\n":                         `answers.yaml:1:9: fakes.unifi.clint: there is no such builtin`,
		"answers: [{choice: x}]\n":                          "who is missing",
		"answers: [{who: dave, after: soon}]\n":             `answers[0].after: got "soon", want a duration such as "10m"`,
		"answers: [{who: dave, chioce: x}]\n":               "answers[0].chioce: unknown key",
		"fakes: {unifi.client: {error: {kind: tired}}}\n":   `got "tired"`,
		"fakes: {unifi.client: {first_seen: {$day: 1}}}\n":  "got $day, want $time or $duration",
		"fakes: {unifi.client: {first_seen: {$time: 1}}}\n": "want a time such as",
		"fakes: [\n": "answers.yaml:1:8",
		"answers: [{who: dave, choice: Blok}]\nfakes: {unifi.client: [null, {mac: \"02:00:00:00:00:07\", name: tv}]}\n": `got "Blok", want Allow, Block or Ask why`,
	} {
		dir := u2(t, map[string]string{"answers.yaml": answers})
		code, _, said := larkspur(t, "replay", dir, filepath.Join(dir, "events.jsonl"), "--answers", filepath.Join(dir, "answers.yaml"))
		if code != exitProblems || !strings.Contains(said, want) {
			t.Errorf("%s: got %d, %q; want %q", answers, code, said, want)
		}
	}
	dir := u2(t, nil)
	if code, _, said := larkspur(t, "replay", dir, filepath.Join(dir, "events.jsonl"), "--answers", filepath.Join(dir, "nix.yaml")); code != exitProblems || !strings.Contains(said, "nix.yaml:1:1: no such file") {
		t.Errorf("got %d, %q", code, said)
	}
}

// The lines for people name places, arguments and results as a script writes them.
func TestReplayInWords(t *testing.T) {
	dir := u2(t, map[string]string{"answers.yaml": awayThenWhy})
	code, out, said := larkspur(t, "replay", dir, filepath.Join(dir, "events.jsonl"), "--answers", filepath.Join(dir, "answers.yaml"))
	for _, want := range []string{
		`scripts/netflix.star:14:25   unifi.client(connection = "home", mac = "02:00:00:00:00:01") → unifi.client(`,
		`unifi.block(`, `2026-11-22T20:18:00Z`, "unifi.unblock(", "  done\n",
	} {
		if code != exitFine || !strings.Contains(out, want) {
			t.Errorf("got %d, %s%s\nwant %s", code, out, said, want)
		}
	}
}

// Without an answers file the first test of a rule answers: each run anew, with
// its functions, its lists and its people.
func TestReplayIsAnsweredByTests(t *testing.T) {
	tests := `
def test_other(t):
    t.event("dns", "eth1", query = "example.org")

def test_first(t):
    calls = []
    def block(*a, **kw):
        calls.append(kw["mac"])
        t.crash()    # of the replay's worker a replay knows nothing
        return struct(mac = kw["mac"], name = "call %d" % len(calls))
    t.at("2030-01-01")
    t.fake("unifi.client", [None, struct(mac = "02:00:00:00:00:07", name = "tv")])
    t.fake("unifi.block", block)
    t.answer("dave", "Block", after = "10m")
    t.trigger("netflix-while-away", query = "www.netflix.com", client = "192.0.2.7")
    t.true(False, "a replay does not come here")

def test_second(t):
    t.trigger("netflix-while-away", query = "www.netflix.com", client = "192.0.2.7")
`
	const lookup = `{"kind": "dns", "source": "sensor", "time": "2026-11-22T2%d:00:00Z", "fields": {"client": "192.0.2.%d", "query": "www.netflix.com", "type": "A", "response": false}}` + "\n"
	dir := u2(t, map[string]string{"scripts/netflix_test.star": tests, "scripts/broken_test.star": "x = y\n", "two.jsonl": fmt.Sprintf(lookup+lookup, 0, 7, 1, 8)})
	code, out, said := larkspur(t, "replay", dir, filepath.Join(dir, "two.jsonl"), "--run")
	for _, want := range []string{
		`unifi.client(connection = "home", ip = "192.0.2.8")`, "2026-11-22T20:10:00Z    r0-1", "2026-11-22T21:10:00Z", `name = "call 2"`, "unifi.unblock(", "  done\n",
	} {
		if code != exitFine || !strings.Contains(out, want) {
			t.Errorf("got %d, %s%s\nwant %s", code, out, said, want)
		}
	}
	for _, want := range []string{
		"netflix-while-away is answered by test_first of scripts/netflix_test.star:5\n", "broken_test.star:1:5: undefined: y\n", "2 events, 2 matches, 2 incidents opened\n",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("got %s, want %s", said, want)
		}
	}
	for tests, want := range map[string]string{
		"def test_x(t):\n    pass\n": `no test triggers the rule "netflix-while-away"`,
		"def test_x(t):\n    t.trigger(\"netflix-while-away\", client = \"192.0.2.7\")\n": "unifi.client: a replay does not ask the world, and test_x, which answers for this rule, has no fake for it\n\twrite there, or into a test before it: t.fake(\"unifi.client\", ",
	} {
		dir := u2(t, map[string]string{"scripts/netflix_test.star": tests})
		if code, out, said := larkspur(t, "replay", dir, filepath.Join(dir, "events.jsonl"), "--run"); code != exitFine || !strings.Contains(out, want) {
			t.Errorf("got %d, %s%s\nwant %s", code, out, said, want)
		}
	}
}
