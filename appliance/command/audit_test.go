package command

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/state"
	"larkspur/engine/store"
)

func TestAuditKeyRotateAndVerify(t *testing.T) {
	dir := t.TempDir()
	s, err := store.OpenScratch(filepath.Join(dir, "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	signer, err := ledger.LoadSigner(filepath.Join(dir, "state", "keys", "checkpoint"), "larkspur")
	if err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(ledger.Config{Store: s, Projector: state.NewProjector(nil), Clock: engine.SystemClock{}, Signer: signer})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var file bytes.Buffer
	if err := l.Export(context.Background(), &file, ledger.Selection{}); err != nil {
		t.Fatal(err)
	}
	good, bad := filepath.Join(dir, "good.jsonl"), filepath.Join(dir, "bad.jsonl")
	if err := os.WriteFile(good, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bad, bytes.Replace(file.Bytes(), []byte(`"applied":true`), []byte(`"applied":false`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key, []byte(signer.Verifier+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"key -C " + dir, exitFine, signer.Verifier},
		{"verify " + good + " --key " + signer.Verifier, exitFine, "verified: 1 records of 1"},
		{"verify --key " + key + " " + good, exitFine, "complete: no record"},
		{"verify " + bad + " --key " + key, exitProblems, "line 3: record 0/0: changed"},
		{"verify " + good, exitUsage, "verify wants --key"},
		{"verify " + good + " --key nonsense", exitProblems, "larkspur audit key prints"},
		{"rotate-key -C " + dir, exitFine, "goes on signing"},
		{"key -C " + dir, exitFine, "\n" + signer.Verifier},
		{"rotate-key --end -C " + dir, exitFine, "only this key signs"},
		{"export extra", exitUsage, `got "extra" after export`},
		{"nonsense", exitUsage, `there is no "nonsense"`},
	} {
		var out bytes.Buffer
		code := Main(append([]string{"audit"}, strings.Fields(c.args)...), nil, &out, &out)
		if code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("audit %s: got %d and %q, want %d and %q", c.args, code, out.String(), c.code, c.want)
		}
	}
}

// TestRotationIsRecorded changes the key of a workspace, starts it, and reads in
// an export who changed it.
func TestRotationIsRecorded(t *testing.T) {
	dir := oldWorkspace(t)
	must(t, os.RemoveAll(filepath.Join(dir, "state", "ledger")))
	for _, args := range []string{"rebuild ", "audit rotate-key -C ", "rebuild ", "rebuild ", "audit rotate-key --end -C ", "rebuild "} {
		if code, _, said := larkspur(t, strings.Fields(args+dir)...); code != exitFine {
			t.Fatalf("%s: %s", args, said)
		}
	}
	signer, err := ledger.LoadSigner(filepath.Join(dir, "state", "keys", "checkpoint"), "larkspur")
	must(t, err)
	s, err := store.OpenLedger(filepath.Join(dir, "state", "ledger"))
	must(t, err)
	defer s.Close()
	l, err := ledger.Open(ledger.Config{Store: s, Projector: state.NewProjector(nil), Clock: engine.SystemClock{}, Signer: signer})
	must(t, err)
	defer l.Close()
	var file bytes.Buffer
	must(t, l.Export(context.Background(), &file, ledger.Selection{}))
	export := filepath.Join(dir, "all.jsonl")
	must(t, os.WriteFile(export, file.Bytes(), 0o600))
	code, out, said := larkspur(t, "audit", "verify", export, "--key", signer.Verifier)
	if code != exitFine || strings.Count(out, "the keys were changed by ") != 2 || !strings.Contains(out, "(larkspur audit rotate-key): before larkspur+") {
		t.Errorf("got %d, %q, %q, want two changes", code, out, said)
	}
	other, err := ledger.LoadSigner(filepath.Join(dir, "other"), "larkspur")
	must(t, err)
	cut := filepath.Join(dir, "cut.jsonl")
	must(t, os.WriteFile(cut, file.Bytes()[:file.Len()-100], 0o600))
	page := filepath.Join(dir, "page.html")
	must(t, os.WriteFile(page, []byte("<!doctype html>\n<p>Sign in\n"), 0o600))
	for _, c := range []struct{ file, key, want string }{
		{export, other.Verifier, "signed with another key than the one you gave"},
		{cut, signer.Verifier, "The end of the file is missing"},
		{page, signer.Verifier, "larkspur audit export wrote"},
	} {
		if code, out, _ := larkspur(t, "audit", "verify", c.file, "--key", c.key); code != exitProblems || !strings.Contains(out, c.want) {
			t.Errorf("%s: got %d, %q, want %q", filepath.Base(c.file), code, out, c.want)
		}
	}
}
