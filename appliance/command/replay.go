package command

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"larkspur/appliance"
	"larkspur/appliance/config"
	"larkspur/appliance/trial"
	"larkspur/builtins"
	"larkspur/engine"
	"larkspur/engine/feed"
	"larkspur/engine/sandbox"
	"larkspur/scripts"
	"larkspur/scripts/library"
	"larkspur/ui/desk"
)

// ReplayLine is one line of `larkspur replay --json` (LANGUAGE section 8).
type ReplayLine struct {
	Time     time.Time   `json:"time"`
	Rule     string      `json:"rule"`
	Event    ReplayEvent `json:"event"`
	Incident string      `json:"incident"`
	Dedup    engine.Data `json:"dedup"`
}

// ReplayEvent is an event as events files hold it.
type ReplayEvent struct {
	Kind      string           `json:"kind"`
	Source    string           `json:"source"`
	Time      time.Time        `json:"time"`
	Logsource engine.Logsource `json:"logsource"`
	Fields    engine.Data      `json:"fields"`
}

func runReplay(c *call) error {
	var asJSON, run bool
	var source, logsource, answers, format string
	args, err := c.flags(func(f *flag.FlagSet) {
		f.BoolVar(&asJSON, "json", false, "a line a match, and a step")
		f.BoolVar(&run, "run", false, "run the playbooks, too; nothing reaches the world, and waits take no time")
		f.StringVar(&answers, "answers", "", "a `FILE` with what the world and people answer to playbooks (with it goes --run)")
		f.StringVar(&source, "source", "", "lines are bare fields of this source")
		f.StringVar(&format, "format", "", "what files hold, where it cannot be told: "+strings.Join(feed.Kinds, ", "))
		f.StringVar(&logsource, "logsource", "", "product=…,category=…,service=…")
	})
	if err != nil {
		return err
	}
	dir, files := ".", args
	if len(args) > 0 && isDir(args[0]) {
		dir, files = args[0], args[1:]
	}
	if len(files) == 0 {
		return usagef("no file is given: a pcap, the log of a resolver, dnstap, or events, one JSON object a line")
	}
	bare, err := bareFields(source, logsource)
	if err != nil {
		return err
	}
	if format != "" && !slices.Contains(feed.Kinds, format) {
		return usagef("--format: got %q, want one of %s", format, strings.Join(feed.Kinds, ", "))
	}
	how := replayed{format: format, dir: dir, files: files, bare: bare, asJSON: asJSON, run: run || answers != "", tests: run && answers == ""}
	if answers != "" {
		var problems []engine.Problem
		if how.answers, problems = config.LoadAnswers(answers, builtins.Signatures()); scripts.HasError(problems) {
			for _, p := range problems {
				printProblem(c.stderr, ".", p)
			}
			return errProblems
		}
	}
	return c.withWorker(func(pool *sandbox.Pool) error { return c.replay(pool, how) })
}

// replayed is what a replay replays, and how.
type replayed struct {
	dir     string
	files   []string
	format  string // of the files, "" to recognise it
	bare    *trial.Bare
	asJSON  bool
	run     bool
	answers config.Answers
	tests   bool // they answer
}

func isDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}

func bareFields(source, logsource string) (*trial.Bare, error) {
	if source == "" {
		if logsource != "" {
			return nil, usagef("--logsource goes with --source NAME")
		}
		return nil, nil
	}
	b := &trial.Bare{Source: source}
	for _, part := range strings.Split(logsource, ",") {
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "product":
			b.Logsource.Product = value
		case "category":
			b.Logsource.Category = value
		case "service":
			b.Logsource.Service = value
		case "":
		default:
			return nil, usagef("--logsource: got %q, want product, category or service", key)
		}
	}
	return b, nil
}

func (c *call) replay(pool *sandbox.Pool, how replayed) error {
	settings, problems := config.Load(how.dir)
	loader := scripts.Loader{
		Dir: how.dir, Worker: pool, Library: library.Files(), Clock: engine.SystemClock{}, Tests: how.tests,
		Settings: func() (scripts.Settings, []engine.Problem) { return settings.Settings(), problems },
	}
	live, err := loader.Load(c.ctx)
	if err != nil {
		return err
	}
	if !live.OK() {
		for _, p := range live.Snapshot.Problems {
			printProblem(c.stderr, how.dir, p)
		}
		if slices.ContainsFunc(live.Snapshot.Problems, func(p engine.Problem) bool { return p.Severity == "error" && !engine.IsTestFile(p.File) }) {
			return errProblems
		}
	}
	var playbooks *trial.Playbooks
	if how.run {
		tell, ended := c.tellSteps(how.asJSON)
		playbooks = &trial.Playbooks{Pool: pool, Config: settings, Answers: how.answers, Version: appliance.Version, Tell: tell, Ended: ended}
		if how.tests {
			playbooks.Tests = append([]engine.Test{}, live.Tests...)
		}
	}
	rules := trial.Rules{Bundle: live.Snapshot.Hash, Commit: live.Snapshot.Commit, Set: live.Rules}
	r, err := trial.Open(c.ctx, rules, appliance.Evaluator(pool, engine.SystemClock{}), c.tellMatch(how.asJSON), playbooks)
	if err != nil {
		return err
	}
	r.Format.Kind, r.Format.Zone = how.format, settings.Zone
	return c.feed(r, how)
}

// feed replays the files and sums up.
func (c *call) feed(r *trial.Replay, how replayed) error {
	failed := false
	for _, s := range r.Scenes() {
		fmt.Fprintf(c.stderr, "%s is answered by %s of %s:%d\n", s.Rule, s.Test.Name, s.Test.File, s.Test.Line)
	}
	for _, file := range how.files {
		err := error(nil)
		if file == "-" {
			err = r.Read(c.ctx, "standard input", c.stdin, how.bare)
		} else {
			err = r.File(c.ctx, file, how.bare)
		}
		if err != nil {
			report(c.stderr, err)
			failed = true
		}
	}
	unused, err := r.Finish(c.ctx)
	if err != nil {
		report(c.stderr, err)
		failed = true
	}
	counts, err := r.Close()
	opened := " would have been opened"
	if how.run {
		opened = " opened"
	}
	fmt.Fprintf(c.stderr, "%s, %s, %s%s%s\n", number(counts.Events, "event"),
		number(counts.Matches, "match"), number(counts.Incidents, "incident"), opened, undecodable(counts.Undecodable))
	printSkipped(c.stderr, counts.Skipped)
	for _, line := range unused {
		fmt.Fprintln(c.stderr, line)
	}
	if err == nil && failed {
		return errProblems
	}
	return err
}

// number writes "1 match", "2 matches".
func number(n int, what string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(what, "ch"):
		what += "es"
	default:
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func undecodable(counts map[string]uint64) string {
	text := ""
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		text += fmt.Sprintf("; %d undecodable: %s", counts[reason], strings.ReplaceAll(reason, "_", " "))
	}
	return text
}

// printSkipped says which lines of events files were no events.
func printSkipped(w io.Writer, counts map[string]trial.Skipped) {
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		s := counts[reason]
		fmt.Fprintf(w, "%s skipped, %s: first %s: %s\n", number(int(s.Lines), "line"), reason, s.First, s.Why)
	}
}

func (c *call) tellMatch(asJSON bool) func(trial.Match) error {
	if !asJSON {
		return func(m trial.Match) error {
			_, err := fmt.Fprintf(c.stdout, "%s  %-10s %-24s %s %s\n", m.Event.Time.Format(time.RFC3339), m.Incident, m.Rule, m.ID, headline(m.Event))
			return err
		}
	}
	out := json.NewEncoder(c.stdout)
	out.SetEscapeHTML(false)
	return func(m trial.Match) error {
		fields, err := engine.Encode(m.Event.Fields)
		if err != nil {
			return err
		}
		fields = desk.Plain(fields) // an events file has no types of ours
		e := ReplayEvent{m.Event.Kind, m.Event.Source, m.Event.Time, m.Event.Logsource, fields}
		return out.Encode(ReplayLine{m.Event.Time, m.Rule, e, m.Incident, m.Dedup})
	}
}

// headline is what of an event fits a line.
func headline(e engine.Event) string {
	if e.Kind == "dns" {
		return fmt.Sprintf("%v asks for %v %v", e.Fields["client"], e.Fields["query"], e.Fields["type"])
	}
	return e.Kind + " from " + e.Source
}
