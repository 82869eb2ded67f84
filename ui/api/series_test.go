package api_test

import (
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/ui/uitest"
)

func TestWhatScriptsRecord(t *testing.T) {
	w := uitest.Sample(t, address)
	now := w.Now()
	w.Has.Series = []engine.Series{
		{Name: "load", Labels: map[string]string{"host": `we"b`, "core": "2"}, Value: 1.5, At: now},
		{Name: "incidents open", Value: 7, At: now},
		{Name: "incidents_open", Value: 8, At: now.Add(time.Second)},
	}
	w.Has.Points = map[string][]engine.Point{"load 5m": {{Time: now, Count: 1, Sum: 1.5, Min: 1.5, Max: 1.5, Last: 1.5}}}
	c := client(t, w)
	all := c.Get("/api/v1/metrics").Want(200, `"name":"load"`, `"value":1.5`, `"host"`).Lacks(`"points"`)
	if strings.Count(all.Body, `"value"`) != 3 {
		t.Errorf("got %s", all.Body)
	}
	c.Get("/api/v1/metrics?name=load&by=5m").Want(200, `"points"`, `"sum":1.5`).Lacks("incidents")
	c.Get("/api/v1/metrics?by=day").Want(400, "want 5m or hour")
	p := c.Get("/metrics").Want(200, "# TYPE larkspur_metric_load gauge\nlarkspur_metric_load{core=\"2\",host=\"we\\\"b\"} 1.5\n", "larkspur_metric_incidents_open 8\n", "larkspur_incidents_open ")
	for _, line := range strings.Split(p.Body, "\n") {
		if strings.HasPrefix(line, "larkspur_metric_incidents_open 7") {
			t.Error("two series of one name and labels")
		}
	}
}
