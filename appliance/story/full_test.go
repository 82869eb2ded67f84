package story

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A box whose disk is nearly full says so to everybody, takes nothing that it
// could lose, goes on showing what it has, and needs nobody when there is room
// again.
func TestFullDiskOfABox(t *testing.T) {
	if os.Geteuid() != 0 {
		needs(t, "root", "mounting a small disk")
	}
	var state string
	b := serveIn(t, func(dir string) { state = smallDisk(t, filepath.Join(dir, "state")) })
	if status, _, _ := b.alarm("1"); status != http.StatusAccepted {
		t.Fatalf("got %d, want the event accepted", status)
	}
	b.eventually("run that is over", func() bool { return b.over("Alarm 1") })

	filler := filepath.Join(state, "filler")
	leave(t, filler, 40<<20)
	status, said, after := b.alarm("2")
	if status != http.StatusServiceUnavailable || after == "" {
		t.Errorf("got %d, Retry-After %q; want 503 with a time", status, after)
	}
	wantText(t, "message", said.Error.Message, "could not be stored")
	if said.Error.Hint == "" {
		t.Error("got no hint, want what to do")
	}
	if status, page, err := visit(b.ctx, "GET", b.url+"/healthz", nil); err != nil || !strings.Contains(page, `"fail"`) {
		t.Errorf("got the health %d %s, %v; want one that fails", status, page, err)
	}
	if !b.over("Alarm 1") {
		t.Error("what was there cannot be read")
	}

	must(t, os.Remove(filler))
	b.eventually("accepted event", func() bool { status, _, _ := b.alarm("2"); return status == http.StatusAccepted })
	b.eventually("run that is over", func() bool { return b.over("Alarm 2") })
}

// alarm calls the hook. The same call is one event.
func (b *box) alarm(n string) (status int, said failure, retryAfter string) {
	b.t.Helper()
	body := `{"n": ` + n + `}`
	req, err := http.NewRequestWithContext(b.ctx, "POST", b.url+"/hooks/alarm", strings.NewReader(body))
	must(b.t, err)
	req.Header = signed(hookToken, "full-"+n, b.clock.Now(), body)
	resp, err := http.DefaultClient.Do(req)
	must(b.t, err)
	defer resp.Body.Close()
	text := &bytes.Buffer{}
	_, err = text.ReadFrom(resp.Body)
	must(b.t, err)
	if resp.StatusCode != http.StatusAccepted {
		must(b.t, json.Unmarshal(text.Bytes(), &said))
	}
	return resp.StatusCode, said, resp.Header.Get("Retry-After")
}

// over tells whether an incident of this title is closed.
func (b *box) over(title string) bool {
	b.t.Helper()
	var list struct {
		Items []struct{ Title, Status string } `json:"items"`
	}
	must(b.t, b.client().get(b.ctx, "/api/v1/incidents", &list))
	for _, i := range list.Items {
		if i.Title == title {
			return i.Status == "closed"
		}
	}
	return false
}

// smallDisk mounts a disk in memory that is unmounted when the test ends.
func smallDisk(t *testing.T, dir string) string {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o700))
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=448m", "small", dir).CombinedOutput(); err != nil {
		needs(t, "mount", string(out))
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %s", out)
		}
	})
	return dir
}

// leave fills a disk but for so many bytes.
func leave(t *testing.T, filler string, bytes int64) {
	t.Helper()
	f, err := os.Create(filler)
	must(t, err)
	defer f.Close()
	var disk unix.Statfs_t
	must(t, unix.Statfs(filepath.Dir(filler), &disk))
	must(t, unix.Fallocate(int(f.Fd()), 0, 0, int64(disk.Bavail)*disk.Bsize-bytes))
}
