package api

import (
	"strings"
	"testing"

	"larkspur/ui/desk"
)

func TestMeters(t *testing.T) {
	var b strings.Builder
	meters(&b, []desk.Meter{
		{Name: "dns_lost_total", Help: "What was lost.", Type: "counter", Samples: []desk.Sample{
			{Labels: [][2]string{{"sensor", `eth"1`}, {"reason", "kernel"}}, Value: 12345678901},
		}},
		{Name: "dns_latency_seconds", Help: "Waits.", Type: "summary", Samples: []desk.Sample{{Suffix: "_sum", Value: 0.25}}},
	})
	want := `# HELP larkspur_dns_lost_total What was lost.
# TYPE larkspur_dns_lost_total counter
larkspur_dns_lost_total{sensor="eth\"1",reason="kernel"} 12345678901
# HELP larkspur_dns_latency_seconds Waits.
# TYPE larkspur_dns_latency_seconds summary
larkspur_dns_latency_seconds_sum 0.25
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}
