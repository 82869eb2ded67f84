package appliance_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"larkspur/appliance"
	"larkspur/engine"
	"larkspur/engine/sandbox"
	"larkspur/engine/sandbox/sandboxtest"
	"larkspur/scripts"
	"larkspur/scripts/library"
)

// manyRules is a script of about 900 lines.
func manyRules(version int) string {
	var text strings.Builder
	fmt.Fprintf(&text, "VERSION = %d\n", version)
	for n := range 100 {
		fmt.Fprintf(&text, `def respond%[1]d(i):
    phone = unifi.client(mac = "02:00:00:00:00:07")
    if phone and phone.online:
        return i.close("at home")
    a = ask("dave", "%%s: what now?" %% i.event.client, choices = ["Allow", "Block"], timeout = "2h", default = "Allow")
    if a.choice == "Block":
        i.note("version %%d" %% VERSION)
    i.close(a.choice)
rule(name = "rule-%[1]d", when = on.dns(domains = ["d%[1]d.example.org"]), do = respond%[1]d, dedup = ["client"])
`, n)
	}
	return text.String()
}

// BenchmarkReload saves a script of 900 lines, as editors do, and waits until it is
// live.
func BenchmarkReload(b *testing.B) {
	pool, err := sandbox.Open(sandbox.Config{Binary: sandboxtest.Binary(b), Hello: appliance.Hello()})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	dir, ended, live := b.TempDir(), make(chan error, 2), make(chan *scripts.Live, 1000)
	go func() { ended <- pool.Run(ctx) }()
	loader := &scripts.Loader{
		Dir: dir, Worker: pool, Library: library.Files(), Clock: engine.SystemClock{},
		Settings: func() (scripts.Settings, []engine.Problem) { return scripts.Settings{Timezone: "UTC"}, nil },
	}
	save := func(version int) {
		b.Helper()
		path := filepath.Join(dir, "scripts", "rules.star")
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path+"~", []byte(manyRules(version)), 0o644), os.Rename(path+"~", path)); err != nil {
			b.Fatal(err)
		}
	}
	arrives := func(version int) {
		b.Helper()
		for l := range live {
			if !l.OK() {
				b.Fatalf("got %v", l.Snapshot.Problems)
			}
			if strings.HasPrefix(l.Snapshot.Bundle.Files["scripts/rules.star"], fmt.Sprintf("VERSION = %d\n", version)) {
				return
			}
		}
	}
	save(0)
	watcher := &scripts.Watcher{Loader: loader, Publish: func(l *scripts.Live) { live <- l }}
	go func() { ended <- watcher.Run(ctx) }()
	arrives(0)
	var took []time.Duration
	for version := 1; b.Loop(); version++ {
		begun := time.Now()
		save(version)
		arrives(version)
		took = append(took, time.Since(begun))
	}
	cancel()
	if err := errors.Join(pool.Close(), <-ended, <-ended); !errors.Is(err, context.Canceled) {
		b.Error(err)
	}
	slices.Sort(took)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "p50-ms")
	b.ReportMetric(float64(took[len(took)-1].Milliseconds()), "worst-ms")
}
