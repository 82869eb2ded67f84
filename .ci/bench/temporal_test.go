package bench

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const (
	atOnce     = 128
	activities = 5
	taskQueue  = "bench"
	pollers    = 16
	patience   = 10 * time.Minute
	// lostAfter is when the server gives out an activity again: on a busy machine the
	// answers get lost in which it gives them out.
	lostAfter = 10 * time.Second
)

// BenchmarkTemporal carries workflows of five activities that do nothing, 128 at
// once, on Temporal's development server, and in turns with them our own runs of
// five effects (BenchmarkRuns of engine/runner), on the same disk. ratio is the
// median of the rounds': how many of ours end while one of theirs does.
func BenchmarkTemporal(b *testing.B) {
	server := buildTemporal(b)
	ours := build(b, "./engine/runner")
	for _, store := range []struct {
		name string
		args func(dir string) []string
		n    int // workflows of a round
	}{
		{"memory", func(string) []string { return nil }, 384},
		{"sqlite", func(dir string) []string { return []string{"--db-filename", filepath.Join(dir, "temporal.db")} }, 128},
	} {
		b.Run(store.name, func(b *testing.B) {
			dir := b.TempDir()
			c := serve(b, server, store.args(dir)...)
			carry(b, c, atOnce) // warm
			var theirs, runs, ratios []float64
			for b.Loop() {
				t := carry(b, c, store.n)
				o := ours.figure(b, "^BenchmarkRuns$/^sync\\+0s$", 1, "runs/s")
				theirs, runs, ratios = append(theirs, t), append(runs, o), append(ratios, o/t)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(theirs), "temporal-workflows/s")
			b.ReportMetric(median(runs), "runs/s")
			b.ReportMetric(median(ratios), "ratio")
		})
	}
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

func five(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: lostAfter})
	for range activities {
		if err := workflow.ExecuteActivity(ctx, nothing).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

func nothing(context.Context) error { return nil }

// carry carries n workflows, 128 at once, and returns how many ended in a second.
func carry(b *testing.B, c client.Client, n int) float64 {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	wanted := make(chan struct{}, n)
	for range n {
		wanted <- struct{}{}
	}
	close(wanted)
	var starters sync.WaitGroup
	begun := time.Now()
	for range atOnce {
		starters.Go(func() {
			for range wanted {
				run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: taskQueue}, five)
				if err == nil {
					err = run.Get(ctx, nil)
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	starters.Wait()
	return float64(n) / time.Since(begun).Seconds()
}

// buildTemporal builds the program with the development server.
func buildTemporal(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "temporal")
	run(b, ".", "go", "build", "-o", path, "github.com/temporalio/cli/cmd/temporal")
	return path
}

func run(b *testing.B, dir, name string, args ...string) {
	b.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

// serve runs a development server on the loopback, and a worker beside it, until
// the benchmark ends.
func serve(b *testing.B, server string, args ...string) client.Client {
	b.Helper()
	port := freePort(b)
	args = append([]string{"server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", strconv.Itoa(port), "--log-level", "error"}, args...)
	cmd := exec.Command(server, args...)
	cmd.Env = append(os.Environ(), "HOME="+b.TempDir())
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()                          // by that signal
	})
	c := dial(b, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	b.Cleanup(c.Close)
	w := worker.New(c, taskQueue, worker.Options{MaxConcurrentWorkflowTaskPollers: pollers, MaxConcurrentActivityTaskPollers: pollers})
	w.RegisterWorkflow(five)
	w.RegisterActivity(nothing)
	if err := w.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(w.Stop)
	return c
}

func freePort(b *testing.B) int {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// dial connects once the server is there.
func dial(b *testing.B, address string) client.Client {
	b.Helper()
	late := time.Now().Add(patience)
	for {
		c, err := client.Dial(client.Options{HostPort: address, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))})
		if err == nil {
			return c
		}
		if time.Now().After(late) {
			b.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond) // it is another's process
	}
}
