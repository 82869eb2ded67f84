package command

import (
	"bytes"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"larkspur/engine/sandbox/sandboxtest"

	"larkspur/ui/uitest"
)

// larkspur runs a command line and returns its exit code and both outputs.
func larkspur(t *testing.T, line ...string) (code int, out, said string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = dispatch(&call{ctx: t.Context(), args: line, stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, worker: sandboxtest.Binary(t)})
	return code, stdout.String(), stderr.String()
}

func TestWrongUsage(t *testing.T) {
	for line, want := range map[string]string{
		"":                        "larkspur init DIR",
		"chek":                    `there is no command "chek"; did you mean check?`,
		"test a b":                "got 2 arguments, want one folder",
		"test -run (":             "-run: error parsing regexp",
		"fmt":                     `it comes with a later version`,
		"token create x":          `name tokens in box.yaml under web.tokens`,
		"serve --bogus":           `there is no option --bogus; there is: -v`,
		"init":                    "got 0 arguments, want the folder of the new workspace",
		"check a b":               "got 2 arguments, want one folder",
		"replay":                  "no file is given",
		"replay x --logsource a=": "--logsource goes with --source NAME",
		"incidents shw":           `there is no "shw"; there is: list, show ID, close ID, reopen ID, assign ID WHO, escalate ID SEVERITY, set ID TEXT, note ID TEXT`,
		"incidents show":          "show wants ID",
		"incidents show i0-1 x":   `what is "x"?`,
		"incidents note i0-1":     "note wants ID TEXT",
		"incidents close i0-1":    "close wants a reason: larkspur incidents close i0-1 --reason TEXT",
		"runs --limit":            "a value is wanted after -limit",
		"audit":                   "it wants one of: export, verify FILE, key, rotate-key, checkpoint",
		"login a b":               `what is "b"?`,
		"doc a b":                 "got 2 names, want one",
		"dns":                     "want one file, - or -i INTERFACE",
	} {
		if code, out, said := larkspur(t, strings.Fields(line)...); code != exitUsage || out != "" || !strings.Contains(said, want) {
			t.Errorf("larkspur %s: got %d, %q, %q; want 2 and %q", line, code, out, said, want)
		}
	}
}

func TestHelp(t *testing.T) {
	for line, want := range map[string]string{
		"help": "larkspur check [DIR]", "--help": "larkspur check [DIR]", "help check": "a line a problem", "check --help": "usage: larkspur check [DIR]",
		"help dns": "--stats", "--version": "larkspur 0", "doc": "unifi.block", "doc unifi": "unifi.clients", "doc server_watch": "(default 5m)", "doc unifi.block": "# unifi.block",
		"doc i.close": `i.close(reason, code="resolved", quiet=None)`, "doc incident.set": "i.set(key = value, …)", "doc on.dns": "on.dns(domains, *, types",
	} {
		if code, out, said := larkspur(t, strings.Fields(line)...); code != exitFine || said != "" || !strings.Contains(out, want) {
			t.Errorf("larkspur %s: got %d, %q, %q; want 0 and %q", line, code, out, said, want)
		}
	}
	if code, _, said := larkspur(t, "doc", "unifi.blok"); code != exitProblems || !strings.Contains(said, `did you mean "unifi.block"?`) {
		t.Errorf("got %d, %q", code, said)
	}
}

func TestNobodyAnswers(t *testing.T) {
	t.Setenv("LARKSPUR_URL", "")
	code, _, said := larkspur(t, "incidents", "-C", t.TempDir())
	if code != exitProblems || !strings.HasPrefix(said, "larkspur: no appliance serves this workspace") || !strings.Contains(said, "start it with: larkspur serve") {
		t.Errorf("got %d, %q", code, said)
	}
	t.Setenv("LARKSPUR_URL", "http://127.0.0.1:1")
	if code, _, said := larkspur(t, "runs"); code != exitProblems || !strings.HasPrefix(said, "larkspur: http://127.0.0.1:1 does not answer: ") {
		t.Errorf("got %d, %q", code, said)
	}
	t.Setenv("LARKSPUR_URL", "soar.example.org")
	if code, _, said := larkspur(t, "runs"); code != exitProblems || !strings.Contains(said, "want an address such as https://soar.example.org") {
		t.Errorf("got %d, %q", code, said)
	}
}

// TestClient holds the client commands against the real interface.
func TestClient(t *testing.T) {
	w := uitest.Sample(t, "https://soar.example.org/")
	w.Visit(t, "ana")
	server := httptest.NewServer(w.Server.Handler(false))
	defer server.Close()
	t.Setenv("LARKSPUR_URL", server.URL+"/")
	t.Setenv("LARKSPUR_TOKEN", uitest.Token)
	for _, tt := range []struct{ line, want string }{
		{"incidents", "Netflix"},
		{"incidents --status closed --json", `"next":""`},
		{"incidents show i0-42", "device: living room TV"},
		{"incidents note i0-42 seen by me", "done"},
		{"incidents close i0-42 --reason homework", "done"},
		{"incidents reopen i0-42", "done"},
		{"runs", "PURPOSE"},
		{"runs show r0-17", "BUILTIN"},
		{"questions", "CHOICES"},
		{"changes", "CHANGE"},
		{"changes undo c0-3 --reason enough", "done"},
		{"changes undo c0-3", "done"},
		{"devices", "LAST USED"},
		{"devices revoke d0-1 --reason lost", "done"},
		{"rules", "RULE"},
		{"history", "nflxvideo.example"},
		{"history name netflix.com", "(no such name)"},
		{"history client 192.0.2.7 --limit 1 --json", `"order":"newest"`},
		{"history export", `{"rrname":"www.example.org"}`},
		{"history import testdata/history.jsonl", "2 lines, 0 records taken in"},
		{"audit checkpoint", "\n"},
		{"audit export", "\n"},
		{"audit export --incident i0-42 --since 2026-11-22", ""},
		{"runs --incident i0-42", "r0-17"},
		{"login dave", "signs dave in, opens once, before "},
	} {
		if code, out, said := larkspur(t, strings.Fields(tt.line)...); code != exitFine || said != "" || !strings.Contains(out, tt.want) {
			t.Errorf("larkspur %s: got %d, %q, %q; want %q", tt.line, code, out, said, tt.want)
		}
	}
	w.Has.Incidents[0].Title = "\x1b]0;gotcha\a"
	if _, out, _ := larkspur(t, "incidents"); strings.Contains(out, "\x1b") || !strings.Contains(out, "?]0;gotcha?") {
		t.Errorf("got %q, want no control characters", out)
	}
	if code, _, said := larkspur(t, "login"); code != exitUsage || !strings.Contains(said, "for whom?") {
		t.Errorf("login: got %d, %q", code, said)
	}
	want := `note i0-42 "seen by me" by admin-token`
	if got := w.Logged(); !strings.Contains(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestCheckOfAPlaybookThatCannotMail: what a shipped playbook lacks is said where it
// is switched on, once an instance.
func TestCheckOfAPlaybookThatCannotMail(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "home")
	if code, _, said := larkspur(t, "init", dir); code != 0 {
		t.Fatal(said)
	}
	file := filepath.Join(dir, "larkspur.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block := "teams: {desk: [owner]}\nplaybooks:\n  - front_desk: {name: reports, hook: hello, team: desk}\n"
	if err := os.WriteFile(file, append(text, block...), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, _ := larkspur(t, "check", dir)
	if code != 0 || strings.Count(out, "warning: playbooks.front_desk: it writes to people, and there is no mail connection") != 1 || !strings.Contains(out, "add to larkspur.yaml: connections:") {
		t.Errorf("got %d\n%s", code, out)
	}
}
