package runner

import (
	"context"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"time"

	"larkspur/engine"
	"larkspur/engine/ledger"
	"larkspur/engine/record"
	"larkspur/engine/state"
	"larkspur/engine/wire"
)

// Bounds of what a script may record.
const (
	maxMetricName = 100 // bytes
	maxLabels     = 8
	maxLabelBytes = 100
)

// labelName is what Prometheus takes; those with two underscores are its own.
var labelName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]*$`)

// performMetric records a value in the frame of the step's result. One that begins
// a series, for which there may be no room, or whose name belongs to another shard,
// is written before.
func performMetric(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	p, err := metricOf(args)
	if err != nil {
		return c.refuse(s, asStepError(err, s))
	}
	if c.run.Mode == modeShadow {
		return c.answer(c.describe(s), nil, nil)
	}
	p.Run, p.Generation, p.Offer = c.run.ID, c.run.Generation, "metric "+c.key(s)
	own, _, _ := engine.ParseID('r', c.run.ID)
	shard := c.r.cfg.Ledger.ShardOf("metric", p.Name)
	known, err := c.r.cfg.State.HasSeries(shard, p.Name, p.Labels)
	if err != nil {
		return wire.Answer{}, parked, err
	}
	n := newRecord(record.MetricSetKind, p)
	if known && shard == own {
		c.hold(n)
		return c.answer(c.describe(s), nil, nil)
	}
	o, err := c.offered(ctx, shard, n)
	if err != nil {
		return wire.Answer{}, parked, err
	}
	if o.Why == state.TooManySeries {
		e := engine.Errorf(engine.Conflict, "metric: %s: %q with these labels would be one more than %d", state.TooManySeries, p.Name, state.MaxSeries()).
			WithHint("labels name few things (a host, a rule), never addresses or ids of what comes and goes; a series that was silent for 90 days makes room")
		return c.refuse(s, asStepError(e, s))
	}
	return c.answer(c.describe(s), nil, nil)
}

// offered offers a record and returns what became of it.
func (c *carrier) offered(ctx context.Context, shard uint16, n ledger.New) (record.Outcome, error) {
	r, err := c.r.cfg.Ledger.Offer(context.WithoutCancel(ctx), shard, n)
	if err != nil {
		return record.Outcome{}, err
	}
	return outcomeOf(r)
}

func metricOf(args map[string]engine.Value) (p record.MetricSet, err error) {
	if p.Name = text(args["name"]); p.Name == "" || len(p.Name) > maxMetricName {
		return p, engine.Errorf(engine.Invalid, "metric: name: got %d bytes, want 1 to %d", len(p.Name), maxMetricName)
	}
	if p.Value, err = number(args["value"]); err != nil {
		return p, err
	}
	labels, _ := args["labels"].(map[string]engine.Value)
	if len(labels) > maxLabels {
		return p, engine.Errorf(engine.Invalid, "metric: got %d labels, at most %d", len(labels), maxLabels)
	}
	for name, v := range labels {
		if !labelName.MatchString(name) {
			return p, engine.Errorf(engine.Invalid, "metric: label %q: want a name of letters, digits and underscores that begins with a letter", name)
		}
		label, err := labelText(name, v)
		if err != nil {
			return p, err
		}
		if p.Labels == nil {
			p.Labels = map[string]string{}
		}
		if label != "" { // an empty label is none, as in Prometheus
			p.Labels[name] = label
		}
	}
	return p, nil
}

// number is a value as it is recorded: a duration in seconds, True as 1.
func number(v engine.Value) (float64, error) {
	f := math.NaN()
	switch v := v.(type) {
	case float64:
		f = v
	case int64:
		f = float64(v)
	case *big.Int:
		f, _ = new(big.Float).SetInt(v).Float64()
	case time.Duration:
		f = v.Seconds()
	case bool:
		if f = 0; v {
			f = 1
		}
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, engine.Errorf(engine.Invalid, "metric: value: got %s, want a finite number, a duration, or True or False", display(v))
	}
	return f, nil
}

func labelText(name string, v engine.Value) (string, error) {
	var label string
	switch v := v.(type) {
	case string:
		label = v
	case int64:
		label = strconv.FormatInt(v, 10)
	case bool:
		label = strconv.FormatBool(v)
	case nil:
	default:
		return "", engine.Errorf(engine.Invalid, "metric: label %s: got %s, want a text, an int, or True or False", name, display(v))
	}
	if len(label) > maxLabelBytes {
		return "", engine.Errorf(engine.Invalid, "metric: label %s: got %d bytes, at most %d", name, len(label), maxLabelBytes)
	}
	return label, nil
}
