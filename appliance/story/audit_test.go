package story

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
)

// command runs larkspur in a process of its own, to its end.
func command(t *testing.T, args ...string) (code int, out, said string) {
	t.Helper()
	cmd := exec.CommandContext(limited(t), program(t, larkspur), args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatalf("larkspur %s: %v", strings.Join(args, " "), err)
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

// download gets an export as a program does.
func (b *box) download(query url.Values) string {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.ctx, "GET", b.url+"/api/v1/audit?"+query.Encode(), nil)
	must(b.t, err)
	req.Header.Set("Authorization", "Bearer "+apiToken)
	resp, err := browser.Do(req)
	must(b.t, err)
	defer resp.Body.Close()
	file, err := io.ReadAll(resp.Body)
	must(b.t, err)
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Disposition"), `attachment; filename="larkspur-audit-`) {
		b.t.Errorf("%v: got %d, %v", query, resp.StatusCode, resp.Header)
	}
	return string(file)
}

// TestExportsOfALiveBox: every export of a box at work, by the command and by the
// interface, is verified by another process that has the public key alone.
func TestExportsOfALiveBox(t *testing.T) {
	t.Parallel()
	b := serve(t)
	b.play()
	asked := b.until("question", func(i *incident) bool {
		return len(i.Questions) == 1 && i.run("playbook").Status == engine.RunWaiting && i.run("outbox").Status == engine.RunDone
	})
	code, key, said := command(t, "audit", "key", "-C", b.dir)
	if code != 0 {
		t.Fatalf("the key: got %d, %s", code, said)
	}
	now := b.clock.Now()
	hour := url.Values{"since": {now.Add(-time.Hour).Format(time.RFC3339)}, "until": {now.Add(time.Hour).Format(time.RFC3339)}}
	for _, c := range []struct {
		query url.Values
		want  string
	}{
		{url.Values{}, "complete: no record up to the checkpoint is missing"},
		{hour, "a range of time: no record of it is missing"},
		{url.Values{"incident": {asked.ID}}, "records of " + asked.ID + ", as the box selected and signed them"},
	} {
		args := []string{"audit", "export", "-C", b.dir}
		for name, values := range c.query {
			args = append(args, "--"+name, values[0])
		}
		code, file, said := command(t, args...)
		if code != 0 {
			t.Fatalf("%v: got %d, %s", args, code, said)
		}
		b.verifies(file, key, c.want)
		c.query.Set("format", "jsonl")
		b.verifies(b.download(c.query), key, c.want)
		b.refusesTampered(file, key)
	}
	if code, _, said := command(t, "audit", "export", "-C", b.dir, "--incident", "i0-99999"); code == 0 || !strings.Contains(said, "there is none") {
		t.Errorf("of an incident that is not there: got %d, %s", code, said)
	}
}

// verifies wants an export to verify, and what is said of it.
func (b *box) verifies(file, key string, want string) {
	b.t.Helper()
	code, out, said := command(b.t, "audit", "verify", b.file(file), "--key", strings.TrimSpace(key))
	if code != 0 || !strings.Contains(out, want) || !strings.HasPrefix(out, "verified: ") || !strings.Contains(out, "signed by larkspur+") {
		b.t.Errorf("got %d, %s%s, want %q", code, out, said, want)
	}
}

func (b *box) file(text string) string {
	path := filepath.Join(b.t.TempDir(), "export.jsonl")
	must(b.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// refusesTampered wants each way of changing an export to be named.
func (b *box) refusesTampered(file, key string) {
	b.t.Helper()
	lines := strings.SplitAfter(strings.TrimSuffix(file, "\n"), "\n")
	middle := len(lines) / 2
	without := append(append([]string{}, lines[:middle]...), lines[middle+1:]...)
	for name, c := range map[string][2]string{
		"an outcome that was changed": {strings.Replace(file, `"applied":true`, `"applied":false`, 1), "changed"},
		"a line that was dropped":     {strings.Join(without, ""), "missing"},
		"a line that is there twice":  {strings.Join(append(append([]string{}, lines[:middle+1]...), lines[middle:]...), ""), "line "},
		"an end that was cut off":     {strings.Join(lines[:len(lines)-1], ""), "The end of the file is missing"},
	} {
		code, out, said := command(b.t, "audit", "verify", b.file(c[0]), "--key", strings.TrimSpace(key))
		if code != 1 || !strings.Contains(out, "NOT verified: ") || !strings.Contains(out, c[1]) {
			b.t.Errorf("%s: got %d, %s%s, want %q", name, code, out, said, c[1])
		}
	}
}

// TestScrubOfALiveBox turns a byte of two files of a box at work, and lets the
// command say what that means.
func TestScrubOfALiveBox(t *testing.T) {
	t.Parallel()
	b := serve(t)
	b.play()
	b.until("question", func(i *incident) bool { return len(i.Questions) == 1 })
	if code, out, said := b.scrub(); code != 0 || !strings.HasPrefix(out, "whole: ") || !strings.Contains(out, " entries of the projections are what the records give") {
		t.Fatalf("got %d, %s%s, want it whole", code, out, said)
	}
	for _, n := range []string{"1", "2", "3"} { // so that the newest log holds something
		b.alarm(n)
	}
	blobs, err := filepath.Glob(filepath.Join(b.dir, "state", "blobs", "*", "*"))
	must(t, err)
	logs, err := filepath.Glob(filepath.Join(b.dir, "state", "ledger", "*.mem"))
	must(t, err)
	if len(blobs) == 0 || len(logs) == 0 {
		t.Fatalf("got the blobs %v and the logs %v", blobs, logs)
	}
	log := logs[slices.IndexFunc(logs, func(path string) bool { // one that holds entries
		b, err := os.ReadFile(path)
		return err == nil && len(b) > 400 && !bytes.Equal(b[150:400], make([]byte, 250))
	})]
	putBack := turn(t, blobs[0], 20)
	turn(t, log, 200) // it has this in memory: nothing is lost when it works on, or is stopped in order
	code, out, said := b.scrub()
	sum := filepath.Base(blobs[0])
	for _, want := range []string{
		"blobs/" + sum[:2] + "/" + sum + ": it is not what its name says\n  meaning: ", "runs that need it stop with an error", "  to do:   copy this one file from a backup\n",
		"ledger/" + filepath.Base(log) + ": ", "\n2 findings; ",
	} {
		if code != 1 || !strings.Contains(out, want) {
			t.Errorf("got %d, %s%s, want %q", code, out, said, want)
		}
	}
	putBack()
	if code, out, said := b.scrub(); code != 0 {
		t.Errorf("put back: got %d, %s%s", code, out, said)
	}
}

// turn turns one bit of a file over, and returns what turns it back.
func turn(t *testing.T, path string, at int64) func() {
	t.Helper()
	again := func() {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		must(t, err)
		defer f.Close()
		b := make([]byte, 1)
		_, err = f.ReadAt(b, at)
		must(t, err)
		b[0] ^= 1
		_, err = f.WriteAt(b, at)
		must(t, err)
	}
	again()
	return again
}

// scrub runs the command while the box's clock goes on, on which a scrub rests.
func (b *box) scrub() (code int, out, said string) {
	b.t.Helper()
	over := make(chan struct{})
	stop := background(b.t, func(ctx context.Context) error {
		for {
			select {
			case <-over:
				return nil
			case <-ctx.Done():
				return nil
			case <-time.After(10 * time.Millisecond): // as long as the command, a process of its own, takes
				b.clock.advance(time.Second)
			}
		}
	})
	defer stop()
	defer close(over)
	return command(b.t, "scrub", b.dir)
}
