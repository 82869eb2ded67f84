// Package sandboxtest builds the worker for tests of other rooms.
package sandboxtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// workerPackage has the commands of the worker, and self-tests of its cell.
const workerPackage = "larkspur/engine/sandbox/sandboxtest/workerbin"

// build is done once for each test binary.
var build = sync.OnceValues(buildWorker)

// Binary returns the path of an executable that has the commands worker-launch
// and worker. It is built without -race, which cannot live under the limits of a
// worker. The go command notices when nothing changed, so that later calls are
// quick.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func buildWorker() (string, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("larkspur-worker-%d-%s", os.Getuid(), moduleKey()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("locking %s: %w", lock.Name(), err)
	}
	path := filepath.Join(dir, "worker")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", path, workerPackage)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the worker: %w\n%s", err, out)
	}
	return path, nil
}

// moduleKey tells checkouts apart that share a temporary directory.
func moduleKey() string {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "module"
	}
	return strings.ReplaceAll(strings.Trim(strings.TrimSpace(string(out)), "/"), "/", "-")
}
