package worker

import "testing"

// BenchmarkReplay replays a journal of 1,000 steps.
func BenchmarkReplay(b *testing.B) {
	bundle := loadGood(b, "def f():\n    for n in range(1000):\n        http.get(\"https://example.org/\", timeout = \"5s\")\n")
	p := newPlay(b)
	p.on(bundle)
	env := newEnvironment(testHello())
	run := p.run
	run.Journal, run.Interpreter = p.steps, interpreterVersion()
	b.ReportAllocs()
	for b.Loop() {
		if ended := newCall(env, bundle, run, nil).execute(); ended.Status != endedDone {
			b.Fatalf("got %+v", ended)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "µs/step")
}
