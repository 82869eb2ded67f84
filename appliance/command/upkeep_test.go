package command

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"larkspur/engine/store"
	"larkspur/ui/uitest"
)

// oldWorkspace is a workspace whose store has schema 1.
func oldWorkspace(t *testing.T) string {
	t.Helper()
	t.Setenv("LARKSPUR_URL", "")
	dir := filepath.Join(t.TempDir(), "home")
	if code, _, said := larkspur(t, "init", dir); code != exitFine {
		t.Fatal(said)
	}
	f, err := os.Open("../../engine/runner/testdata/schema-1.tar.gz")
	must(t, err)
	defer f.Close()
	zip, err := gzip.NewReader(f)
	must(t, err)
	for files := tar.NewReader(zip); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		must(t, err)
		content, err := io.ReadAll(files)
		must(t, err)
		path := filepath.Join(dir, "state", h.Name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, content, 0o600))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestUpgradeAndRollback(t *testing.T) {
	dir := oldWorkspace(t)
	if code, out, said := larkspur(t, "rollback", "-C", dir, "list"); code != exitFine || out != "" || !strings.Contains(said, "there is no snapshot") {
		t.Errorf("before: got %d, %q, %q", code, out, said)
	}
	code, out, said := larkspur(t, "rebuild", dir)
	if code != exitFine || out != "rebuilt all projections from 73 records\n" || !strings.Contains(said, "73 of 73 records, 100 %") {
		t.Fatalf("got %d, %q, %q", code, out, said)
	}
	_, out, _ = larkspur(t, "rollback", "-C", dir, "list")
	name, rest, _ := strings.Cut(out, "  ")
	if !strings.HasSuffix(name, "-schema-1") || !strings.HasPrefix(rest, fmt.Sprintf("schema 1, before the upgrade to schema %d; 1 MB of its own; removed after 20", store.Schema)) {
		t.Fatalf("got %q", out)
	}
	code, out, said = larkspur(t, "rollback", "-C", dir, "to", name)
	if code != exitUsage || out != "" || !strings.Contains(said, "2 records since ") || !strings.Contains(said, "nothing was changed; say --yes") {
		t.Errorf("without --yes: got %d, %q, %q", code, out, said)
	}
	code, out, said = larkspur(t, "rollback", "-C", dir, "to", name, "--yes")
	if code != exitFine || !strings.Contains(out, name+" is in force again") || !strings.Contains(said, "are lost") {
		t.Fatalf("got %d, %q, %q", code, out, said)
	}
	_, out, _ = larkspur(t, "rollback", "-C", dir)
	kept, _, _ := strings.Cut(out, "  ")
	if !strings.HasSuffix(kept, fmt.Sprintf("-schema-%d-rolled-back", store.Schema)) {
		t.Errorf("got %q, want what was taken out of force", out)
	}
	if code, out, said := larkspur(t, "rollback", "-C", dir, "remove", kept); code != exitFine || out != "removed "+kept+"\n" {
		t.Errorf("got %d, %q, %q", code, out, said)
	}
	if code, _, said := larkspur(t, "rollback", "-C", dir, "to", "nothing", "--yes"); code != exitProblems || !strings.Contains(said, `snapshot "nothing": there is none`) {
		t.Errorf("got %d, %q", code, said)
	}
}

func TestANewerStoreIsRefused(t *testing.T) {
	dir := oldWorkspace(t)
	must(t, os.WriteFile(filepath.Join(dir, "state", "ledger", "schema"), fmt.Appendln(nil, store.Schema+1), 0o600))
	code, _, said := larkspur(t, "rebuild", dir)
	if code != exitProblems || !strings.Contains(said, fmt.Sprintf("it has schema %d, and this program knows schemas up to %d; nothing was changed\n  run the newer larkspur", store.Schema+1, store.Schema)) {
		t.Errorf("got %d, %q", code, said)
	}
}

// TestRebuildAsksARunningOne ends when the caller gives up: the world's rebuild
// never ends.
func TestRebuildAsksARunningOne(t *testing.T) {
	w := uitest.Sample(t, "https://soar.example.org/")
	server := httptest.NewServer(w.Server.Handler(false))
	defer server.Close()
	t.Setenv("LARKSPUR_URL", server.URL)
	t.Setenv("LARKSPUR_TOKEN", "a-viewer-of-the-tests")
	if code, _, said := larkspur(t, "rebuild"); code != exitProblems || !strings.Contains(said, "viewer") {
		t.Errorf("a viewer: got %d, %q", code, said)
	}
	t.Setenv("LARKSPUR_TOKEN", uitest.Token)
	for range 2 { // the second finds the first
		ctx, giveUp := context.WithCancel(t.Context())
		var said writer = func(text string) {
			if strings.Contains(text, "7 of 42 records, 16 %") {
				giveUp()
			}
		}
		c := &call{ctx: ctx, stdin: strings.NewReader(""), stdout: io.Discard, stderr: said}
		if err := runRebuild(c); err == nil || !strings.Contains(err.Error(), "no longer waiting; the rebuild goes on") {
			t.Errorf("got %v", err)
		}
	}
}

// writer is called with what is written.
type writer func(text string)

func (w writer) Write(b []byte) (int, error) {
	w(string(b))
	return len(b), nil
}
