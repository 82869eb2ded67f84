package command

import (
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"larkspur/appliance/config"
	"larkspur/engine"
	"larkspur/engine/ledger"
)

// auditOptions are the flags of larkspur audit.
type auditOptions struct {
	dir, since, until, incident string
	keys                        []string
	end, json                   bool
}

func runAudit(c *call) error {
	var o auditOptions
	args, err := c.flags(func(f *flag.FlagSet) {
		f.StringVar(&o.dir, "C", ".", "the workspace")
		f.StringVar(&o.since, "since", "", "records from this time on")
		f.StringVar(&o.until, "until", "", "records before this time")
		f.StringVar(&o.incident, "incident", "", "records of one incident")
		f.Func("key", "a public key, or a file that holds some", func(text string) error {
			o.keys = append(o.keys, text)
			return nil
		})
		f.BoolVar(&o.end, "end", false, "drop the old keys")
		f.BoolVar(&o.json, "json", false, "print the report as JSON")
	})
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return usagef("it wants one of: export, verify FILE, key, rotate-key, checkpoint")
	}
	switch name, args := args[0], args[1:]; {
	case name == "verify" && len(args) == 1:
		return c.verifyExport(args[0], o)
	case len(args) > 0:
		return usagef("got %q after %s", args[0], name)
	case name == "export":
		return c.stream(o, "audit?"+o.query().Encode())
	case name == "checkpoint":
		return c.stream(o, "audit/checkpoint")
	case name == "key":
		return c.printKeys(o)
	case name == "rotate-key":
		return c.rotateKey(o)
	default:
		return usagef("there is no %q; there is: export, verify FILE --key KEY, key, rotate-key, checkpoint", name)
	}
}

func (o *auditOptions) query() url.Values {
	v := url.Values{"format": {"jsonl"}}
	for name, value := range map[string]string{"since": o.since, "until": o.until, "incident": o.incident} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return v
}

// stream copies an answer as it is.
func (c *call) stream(o auditOptions, path string) error {
	cl, err := newClient(o.dir)
	if err != nil {
		return err
	}
	cl.http.Timeout = 0 // an export takes as long as it takes
	resp, err := cl.send(c.ctx, "GET", "/api/v1/"+path, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		if err != nil {
			return err
		}
		return apiError(resp, b)
	}
	_, err = io.Copy(c.stdout, resp.Body)
	return err
}

// verifyExport verifies a file, without an appliance.
func (c *call) verifyExport(path string, o auditOptions) error {
	keys, err := readKeys(o.keys)
	if err != nil {
		return err
	}
	in := c.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return engine.WrapError(engine.NotFound, err, "export")
		}
		defer f.Close()
		in = f
	}
	report, err := ledger.Verify(in, keys...)
	if err != nil {
		return err
	}
	if o.json {
		b, err := engine.MarshalJSON(report)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.stdout, "%s\n", b)
	} else {
		printReport(c.stdout, path, report)
	}
	if !report.OK() {
		return errProblems
	}
	return nil
}

// readKeys takes public keys as they are, and those in files line by line.
func readKeys(given []string) ([]string, error) {
	if len(given) == 0 {
		return nil, usagef("verify wants --key: the public key of the box, or a file that holds it (larkspur audit key prints it)")
	}
	var keys []string
	for _, text := range given {
		b, err := os.ReadFile(text)
		if err != nil {
			keys = append(keys, text) // no file: the key itself, which Verify judges
			continue
		}
		for line := range strings.Lines(string(b)) {
			// A box's own key file holds private keys too: they are passed over.
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "PRIVATE+") {
				keys = append(keys, line)
			}
		}
	}
	return keys, nil
}

func printReport(w io.Writer, path string, r *ledger.Report) {
	for _, f := range r.Findings {
		fmt.Fprintf(w, "%s: %s\n", path, f)
	}
	if r.More > 0 {
		fmt.Fprintf(w, "%s: and %d more\n", path, r.More)
	}
	if !r.OK() {
		fmt.Fprintf(w, "\nNOT verified: %d findings in %d records\n", uint64(len(r.Findings))+r.More, r.Records)
		explain(w, r)
		return
	}
	fmt.Fprintf(w, "verified: %d records of %d, %s to %s, %d erased\n", r.Records, r.Covered, utcTime(r.First), utcTime(r.Last), r.Erased)
	for _, word := range r.Words {
		fmt.Fprintf(w, "%d erased on the word of %s, because %s\n", word.Records, word.By, word.Because)
	}
	if r.Unsaid > 0 {
		fmt.Fprintf(w, "%d are without content, and no erasure in this file says why\n", r.Unsaid)
	}
	fmt.Fprintf(w, "ledger %s, checkpoint of %s, signed by %s\n", r.Ledger, utcTime(r.Checkpoint), strings.Join(r.Keys, ", "))
	switch r.Scope {
	case ledger.ScopeAll:
		fmt.Fprintln(w, "complete: no record up to the checkpoint is missing")
	case ledger.ScopeRange:
		fmt.Fprintln(w, "a range of time: no record of it is missing")
	case ledger.ScopeSelected:
		fmt.Fprintf(w, "records of %s, as the box selected and signed them: that it selected all cannot be shown\n", r.Incident)
	}
	for _, k := range r.Rotations {
		fmt.Fprintf(w, "on %s the keys were changed by %s: before %s; then %s\n", utcTime(k.Time), k.By, keyNames(k.Old), keyNames(k.New))
	}
	if r.UnknownKinds > 0 {
		fmt.Fprintf(w, "%d records are of kinds that this program does not know; the names of such kinds were not verified\n", r.UnknownKinds)
	}
}

// keyNames shortens public keys to what signatures name: NAME+HASH.
func keyNames(keys []string) string {
	var names []string
	for _, key := range keys {
		parts := strings.SplitN(key, "+", 3)
		names = append(names, strings.Join(parts[:min(len(parts), 2)], "+"))
	}
	return strings.Join(names, ", ")
}

// explain says in plain words what a finding at the beginning means.
func explain(w io.Writer, r *ledger.Report) {
	switch f := r.Findings[0]; {
	case f.Subject == "checkpoint" && strings.Contains(f.Why, "none of the given keys"):
		fmt.Fprintln(w, "The file was signed with another key than the one you gave. Either it is of another box, or the box's key was changed since: ask its operator for\n"+
			"the present key (larkspur audit key), and for an export up to the change, which still verifies with your key and holds the record of it.")
	case slices.ContainsFunc(r.Findings, func(f ledger.Finding) bool { return f.Kind == ledger.Truncated }):
		fmt.Fprintln(w, "The end of the file is missing: it was not copied or downloaded to its end, or somebody cut it off. Ask for it again.")
	case f.Line == 1 && f.Kind == ledger.Malformed:
		fmt.Fprintln(w, "This is not a file that larkspur audit export wrote, or its beginning was changed.")
	default:
		fmt.Fprintln(w, "The file is not what the box signed. Ask for the export again; if that one verifies, this copy was changed on its way.")
	}
}

func utcTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// keyFile is where a workspace keeps the keys of its checkpoints.
func keyFile(dir string) string {
	settings, _ := config.Load(dir)
	return filepath.Join(settings.Box.Store, "keys", "checkpoint")
}

func (c *call) printKeys(o auditOptions) error {
	keys, err := ledger.VerifierKeys(keyFile(o.dir))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.stdout, strings.Join(keys, "\n"))
	return err
}

// operator names who calls a command, for a record.
func operator(command string) string {
	if u, err := user.Current(); err == nil {
		return u.Username + " (" + command + ")"
	}
	return command
}

// noteWho leaves beside the keys who changes them, for the record that the
// appliance makes of it at its next start.
func noteWho(path string) error {
	if err := os.WriteFile(path+".by", []byte(operator("larkspur audit rotate-key")+"\n"), 0o600); err != nil {
		return engine.WrapError(engine.Unavailable, err, "checkpoint key")
	}
	return nil
}

func (c *call) rotateKey(o auditOptions) error {
	path := keyFile(o.dir)
	if _, err := ledger.VerifierKeys(path); err != nil {
		return err
	}
	change := func() (*ledger.Signer, error) { return ledger.RotateKey(path, "larkspur") }
	next := "the old key goes on signing beside it; give auditors the new one, then: larkspur audit rotate-key --end"
	if o.end {
		change, next = func() (*ledger.Signer, error) { return ledger.EndRotation(path) }, "only this key signs from now on"
	}
	if err := noteWho(path); err != nil {
		return err
	}
	s, err := change()
	if err != nil {
		return err
	}
	fmt.Fprintln(c.stdout, s.Verifier)
	fmt.Fprintf(c.stderr, "%s\na running appliance takes it up at its next start\n", next)
	return nil
}
