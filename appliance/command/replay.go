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
	"larkspur/engine"
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
	var asJSON bool
	var source, logsource string
	args, err := c.flags(func(f *flag.FlagSet) {
		f.BoolVar(&asJSON, "json", false, "a line a match")
		f.StringVar(&source, "source", "", "lines are bare fields of this source")
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
		return usagef("no file is given: a pcap, or events, one JSON object a line")
	}
	bare, err := bareFields(source, logsource)
	if err != nil {
		return err
	}
	tell := c.tellMatch(asJSON)
	return withWorker(c.ctx, func(pool *sandbox.Pool) error { return c.replay(pool, dir, files, bare, tell) })
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

func (c *call) replay(pool *sandbox.Pool, dir string, files []string, bare *trial.Bare, tell func(trial.Match) error) error {
	settings, problems := config.Load(dir)
	loader := scripts.Loader{
		Dir: dir, Worker: pool, Library: library.Files(), Clock: engine.SystemClock{},
		Settings: func() (scripts.Settings, []engine.Problem) { return settings.Settings(), problems },
	}
	live, err := loader.Load(c.ctx)
	if err != nil {
		return err
	}
	if !live.OK() {
		for _, p := range live.Snapshot.Problems {
			printProblem(c.stderr, dir, p)
		}
		return errProblems
	}
	r, err := trial.Open(trial.Rules{Bundle: live.Snapshot.Hash, Commit: live.Snapshot.Commit, Set: live.Rules}, appliance.Evaluator(pool), tell)
	if err != nil {
		return err
	}
	failed := false
	for _, file := range files {
		err := error(nil)
		if file == "-" {
			err = r.Read(c.ctx, "standard input", c.stdin, bare)
		} else {
			err = r.File(c.ctx, file, bare)
		}
		if err != nil {
			report(c.stderr, err)
			failed = true
		}
	}
	counts, err := r.Close()
	fmt.Fprintf(c.stderr, "%s, %s, %s would have been opened%s\n", number(counts.Events, "event"),
		number(counts.Matches, "match"), number(counts.Incidents, "incident"), undecodable(counts.Undecodable))
	printSkipped(c.stderr, counts.Skipped)
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
