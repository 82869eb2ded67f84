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
