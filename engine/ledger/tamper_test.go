package ledger_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"larkspur/engine/ledger"
	"larkspur/engine/record"
)

// forge gives a line's record the leaf that its content has now.
func forge(t *testing.T, id record.LedgerID, line string) string {
	t.Helper()
	var r struct {
		Epoch, Frame, Record     uint64
		Incarnation, Kind_number uint32
		Shard                    uint16
		Time                     time.Time
		Salt                     []byte
		Payload, Outcome         json.RawMessage
	}
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		t.Fatal(err)
	}
	leaf := ledger.LeafOfParts(record.Header{
		Ledger: id, Incarnation: r.Incarnation, Shard: r.Shard, Epoch: r.Epoch, Frame: r.Frame, Record: r.Record, Kind: record.Kind(r.Kind_number), Time: r.Time,
	}, r.Salt, r.Payload, r.Outcome)
	return regexp.MustCompile(`"leaf":"[^"]*"`).ReplaceAllLiteralString(line, `"leaf":"`+leaf.String()+`"`)
}

// edits change each field of a record's line.
var edits = map[string][2]string{
	"epoch":       {`"epoch":\d+`, `"epoch":9`},
	"frame":       {`"frame":\d+`, `"frame":9999`},
	"incarnation": {`"incarnation":\d+`, `"incarnation":2`},
	"kind":        {`"kind":"\w+"`, `"kind":"step_done"`},
	"kind_number": {`"kind_number":\d+`, `"kind_number":21`},
	"leaf":        {`"leaf":"....`, `"leaf":"AAAA`},
	"outcome":     {`"applied":true`, `"applied":false`},
	"payload":     {`"text":"a`, `"text":"b`},
	"record":      {`"record":\d+`, `"record":3`},
	"salt":        {`"salt":"...`, `"salt":"AAA`},
	"shard":       {`"shard":\d`, `"shard":5`},
	"time":        {`"time":"2026`, `"time":"2025`},
	"seconds":     {`:\d\d\.`, `:59.`},
	"unknown key": {`,"salt"`, `,"sale":1,"salt"`},
	"white space": {`"frame":`, `"frame": `},
	"not JSON":    {`^.*$`, `}{`},
	"nothing":     {`^.*$`, ``},
	"drop proof":  {`^(.*"payload":\{)`, `$1"x":1,`},
}

// at finds the line of a record, from 1.
func at(t *testing.T, lines []string, shard, n int) int {
	t.Helper()
	for i, line := range lines {
		if strings.Contains(line, fmt.Sprintf(`"record":%d,`, n)) && strings.Contains(line, fmt.Sprintf(`"shard":%d,`, shard)) {
			return i + 1
		}
	}
	t.Fatalf("no line of record %d/%d", shard, n)
	return 0
}

func join(lines []string) []byte { return []byte(strings.Join(lines, "")) }

func split(file []byte) []string {
	return strings.SplitAfter(strings.TrimSuffix(string(file), ""), "\n")
}

// wantFinding wants one finding of a subject, line and kind, and no more than
// most findings.
func wantFinding(t *testing.T, r *ledger.Report, subject string, line int, most int, kinds ...string) {
	t.Helper()
	for _, f := range r.Findings {
		if f.Subject == subject && (line == 0 || f.Line == line) && slices.Contains(kinds, f.Kind) {
			if len(r.Findings) > most {
				t.Errorf("got %d findings, want at most %d: %v", len(r.Findings), most, r.Findings)
			}
			return
		}
	}
	t.Errorf("got %v, want %s %v at line %d", r.Findings, subject, kinds, line)
}

// exports are the same ledger in each scope.
func exports(t *testing.T, f *fixture) map[string][]string {
	return map[string][]string{
		ledger.ScopeAll:      split(f.export(t, ledger.Selection{})),
		ledger.ScopeRange:    split(f.export(t, ledger.Selection{Since: morning.Add(10 * time.Minute), Until: morning.Add(500 * time.Minute)})),
		ledger.ScopeSelected: split(f.export(t, ledger.Selection{Incident: "i0-1", Covers: func(r ledger.Record) bool { return true }})),
	}
}

func TestEveryChangedFieldIsNamed(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 2} {
		f := house(t, shards, 300) // more than a tile of 256
		for scope, lines := range exports(t, f) {
			for _, n := range []int{50, 270, 299} {
				shard := shards - 1
				line := at(t, lines, shard, n)
				for name, edit := range edits {
					changed := slices.Clone(lines)
					body := strings.TrimSuffix(lines[line-1], "\n")
					changed[line-1] = regexp.MustCompile(edit[0]).ReplaceAllString(body, edit[1]) + "\n"
					if changed[line-1] == lines[line-1] {
						t.Fatalf("%s: the edit changes nothing", name)
					}
					t.Run(fmt.Sprintf("%d/%s/%d/%s", shards, scope, n, name), func(t *testing.T) {
						r := verify(t, join(changed), f.signer.Verifier)
						subject := fmt.Sprintf("record %d/%d", shard, n)
						unread := name == "unknown key" || name == "white space" || name == "not JSON" || name == "nothing"
						if scope == ledger.ScopeSelected && (unread || name == "record" || name == "shard") {
							subject = r.Findings[0].Subject // which one it was cannot be shown
						}
						wantFinding(t, r, subject, line, 2, ledger.Changed, ledger.Malformed, ledger.Inserted)
					})
				}
			}
		}
	}
}

func TestForgedRecordsAreNamed(t *testing.T) {
	t.Parallel()
	f := house(t, 1, 600)
	for scope, lines := range exports(t, f) {
		for _, n := range []int{50, 300, 599} {
			line := at(t, lines, 0, n)
			changed := slices.Clone(lines)
			changed[line-1] = forge(t, f.ledger.ID(), strings.Replace(lines[line-1], `"text":"a`, `"text":"b`, 1))
			r := verify(t, join(changed), f.signer.Verifier)
			t.Logf("%s: %v", scope, r.Findings)
			wantFinding(t, r, fmt.Sprintf("record 0/%d", n), line, 1, ledger.Forged)
		}
	}
}

func TestLinesThatWereMovedAreNamed(t *testing.T) {
	t.Parallel()
	f := house(t, 2, 600)
	for scope, lines := range exports(t, f) {
		for _, n := range []int{50, 300, 598} {
			line := at(t, lines, 1, n)
			subject, next := fmt.Sprintf("record 1/%d", n), fmt.Sprintf("record 1/%d", n+1)
			i := line - 1
			cases := map[string]struct {
				lines   []string
				subject string
				line    int
				kind    string
			}{
				"dropped":         {slices.Concat(lines[:i], lines[i+1:]), subject, 0, ledger.Missing},
				"duplicated":      {slices.Concat(lines[:i+1], lines[i:]), subject, line + 1, ledger.Duplicated},
				"copied to later": {slices.Concat(lines[:i+2], lines[i:i+1], lines[i+2:]), subject, line + 2, ledger.Duplicated},
				"swapped":         {slices.Concat(lines[:i], lines[i+1:i+2], lines[i:i+1], lines[i+2:]), "", 0, ledger.Reordered},
				"inserted": {slices.Concat(lines[:i+1], []string{forge(t, f.ledger.ID(), strings.Replace(lines[i], `"text":"a`, `"text":"b`, 1))}, lines[i+1:]),
					subject, line + 1, ledger.Inserted},
				"inserted beyond the end": {slices.Concat(lines[:i+1], []string{forge(t, f.ledger.ID(), strings.Replace(lines[i], `"record":`, `"record":9`, 1))}, lines[i+1:]),
					strings.Replace(subject, "/", "/9", 1), line + 1, ledger.Inserted},
			}
			for name, c := range cases {
				t.Run(fmt.Sprintf("%s/%d/%s", scope, n, name), func(t *testing.T) {
					r := verify(t, join(c.lines), f.signer.Verifier)
					if scope == ledger.ScopeSelected && name == "dropped" {
						wantFinding(t, r, "end", len(c.lines)-1, 1, ledger.Changed)
						return
					}
					if c.subject == "" {
						c.subject = subject
						if r.Findings[0].Subject == next {
							c.subject = next
						}
					}
					wantFinding(t, r, c.subject, c.line, 2, c.kind, ledger.Forged)
				})
			}
		}
	}
}

func TestTruncationIsNamed(t *testing.T) {
	f := house(t, 1, 600)
	for scope, lines := range exports(t, f) {
		for _, keep := range []int{1, 2, 100, len(lines) - 2} {
			r := verify(t, join(lines[:keep]), f.signer.Verifier)
			wantFinding(t, r, "file", keep, 3, ledger.Truncated)
			half := join(lines[:keep])
			wantFinding(t, verify(t, half[:len(half)-10], f.signer.Verifier), "file", keep, 4, ledger.Truncated)
			if scope == ledger.ScopeAll && keep == 100 {
				wantFinding(t, r, "records 0/97 to 0/255", 0, 3, ledger.Missing)
				wantFinding(t, r, "records 0/256 to 0/599", 0, 3, ledger.Missing)
			}
		}
	}
	if r := verify(t, nil, f.signer.Verifier); len(r.Findings) != 1 || r.Findings[0].Kind != ledger.Truncated {
		t.Errorf("got %v, want that the file is empty", r.Findings)
	}
}

func TestForgedProofsAreNamed(t *testing.T) {
	f, other := house(t, 1, 600), house(t, 1, 600)
	for scope, lines := range exports(t, f) {
		foreign := exports(t, other)[scope]
		end := len(lines) - 1 // the last of lines is empty
		swap := func(i int, from, to string) []string {
			changed := slices.Clone(lines)
			if changed[i] = strings.Replace(lines[i], from, to, 1); changed[i] == lines[i] {
				t.Fatalf("%s: nothing changes in line %d", scope, i+1)
			}
			return changed
		}
		wantFinding(t, verify(t, join(lines), other.signer.Verifier), "checkpoint", 1, 2, ledger.Forged)
		wantFinding(t, verify(t, join(swap(0, `time 2026`, `time 2025`)), f.signer.Verifier), "checkpoint", 1, 3, ledger.Forged)
		wantFinding(t, verify(t, join(swap(0, `\n600\n`, `\n599\n`)), f.signer.Verifier), "checkpoint", 1, 3, ledger.Malformed, ledger.Forged)
		wantFinding(t, verify(t, join(swap(0, `"ledger":"`, `"ledger":"0`)), f.signer.Verifier), "header", 1, 3, ledger.Changed)
		wantFinding(t, verify(t, join(swap(0, `"version":1`, `"version":2`)), f.signer.Verifier), "header", 1, 3, ledger.Malformed)
		wantFinding(t, verify(t, join(swap(0, `"keys":["`, `"keys":["x`)), f.signer.Verifier), "file", end, 1, ledger.Changed)
		wantFinding(t, verify(t, join(swap(end-1, `"records":`, `"records":1`)), f.signer.Verifier), "end", end, 1, ledger.Changed)
		wantFinding(t, verify(t, join(swap(end-1, `sha256 `, `sha256 A`)), f.signer.Verifier), "statement", end, 1, ledger.Forged)
		wantFinding(t, verify(t, join(slices.Concat(lines[:end-1], foreign[end-1:])), f.signer.Verifier), "statement", end, 3, ledger.Forged)
		wantFinding(t, verify(t, join(slices.Concat(lines[1:])), f.signer.Verifier), "header", 1, 1, ledger.Malformed)
		wantFinding(t, verify(t, join(slices.Concat(lines[:end], lines[5:6])), f.signer.Verifier), "line", end+1, 4, ledger.Inserted)
		if scope == ledger.ScopeAll {
			wantFinding(t, verify(t, join(swap(1, `"tails":["`, `"tails":["AAAA`)), f.signer.Verifier), "proof", 2, 9, ledger.Forged)
			wantFinding(t, verify(t, join(swap(2, `"hashes":"`, `"hashes":"AAAA`)), f.signer.Verifier), "proof", 3, 9, ledger.Malformed)
			bad := swap(2, lines[2][:20], `{"hashes":"AAAAAAAAA`)
			wantFinding(t, verify(t, join(bad), f.signer.Verifier), "proof", 3, 1, ledger.Forged)
			wantFinding(t, verify(t, join(slices.Concat(lines[:2], lines[3:])), f.signer.Verifier), "proof", 3, 1, ledger.Missing)
			bad[9] = forge(t, f.ledger.ID(), strings.Replace(lines[9], `"text":"a`, `"text":"b`, 1))
			wantFinding(t, verify(t, join(bad), f.signer.Verifier), "records 0/0 to 0/255", 3, 2, ledger.Forged)
		}
	}
}

func TestRangeShowsWhatWasLeftOut(t *testing.T) {
	f := house(t, 2, 600)
	lines := split(f.export(t, ledger.Selection{Since: morning.Add(10 * time.Minute), Until: morning.Add(300 * time.Minute)}))
	last := len(lines) - 2
	for name, cut := range map[string][]string{
		"edges":                lines[2:],
		"the first two":        lines[3:],
		"all records of one":   lines[last:],
		"the end of the range": append(slices.Clone(lines[1:last-1]), lines[last:]...),
	} {
		r := verify(t, join(slices.Concat(lines[:1], cut)), f.signer.Verifier)
		if !slices.ContainsFunc(r.Findings, func(f ledger.Finding) bool { return f.Kind == ledger.Missing && strings.HasPrefix(f.Subject, "record") }) {
			t.Errorf("without %s: got %v, want what is missing", name, r.Findings)
		}
	}
}

func TestSeveralFindingsAtOnce(t *testing.T) {
	f := house(t, 1, 600)
	lines := split(f.export(t, ledger.Selection{}))
	at10, at400 := at(t, lines, 0, 10), at(t, lines, 0, 400)
	lines[at10-1] = strings.Replace(lines[at10-1], `"text":"a`, `"text":"b`, 1)
	lines[at400-1] = strings.Replace(lines[at400-1], `"applied":true`, `"applied":false`, 1)
	r := verify(t, join(slices.Delete(lines, 30, 33)), f.signer.Verifier)
	var got []string
	for _, f := range r.Findings {
		got = append(got, fmt.Sprint(f.Subject, " ", f.Kind))
	}
	want := []string{"record 0/10 changed", "records 0/27 to 0/29 missing", "record 0/400 changed"}
	if !slices.Equal(got[:min(3, len(got))], want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
