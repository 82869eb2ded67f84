package sandbox_test

import (
	"context"
	"testing"

	"larkspur/engine"
	"larkspur/engine/sandbox"
	"larkspur/engine/sandbox/sandboxtest"
	"larkspur/engine/wire"
)

// BenchmarkFiveSteps carries runs of five steps, 128 at once.
func BenchmarkFiveSteps(b *testing.B) {
	p, err := sandbox.Open(sandbox.Config{Binary: sandboxtest.Binary(b), Hello: hello()})
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Run(context.Background()) }()
	defer func() { _ = p.Close(); <-ended }()
	l := bundle("def f():\n    for n in range(5):\n        http.get(\"https://example.org/\")\n")
	if _, err := p.Load(context.Background(), l); err != nil {
		b.Fatal(err)
	}
	result := wire.Answer{Result: engine.MustEncode("ok")}
	b.ResetTimer()
	b.SetParallelism(64)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c, err := p.Start(context.Background(), run(l.Bundle.Hash))
			if err != nil {
				b.Fatal(err)
			}
			for {
				e, err := c.Next(context.Background())
				if err != nil {
					b.Fatal(err)
				}
				step, ok := e.(*wire.Step)
				if !ok {
					break
				}
				if err := c.Answer(step, result); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
