package pure

import (
	"fmt"
	"math"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"larkspur/engine/calendar"
)

// Duration is a span of time in scripts. It prints as "5m"; sums and comparisons
// take durations, sums of times and durations also their strings.
type Duration time.Duration

var (
	_ starlark.TotallyOrdered = Duration(0)
	_ starlark.HasBinary      = Duration(0)
	_ starlark.HasUnary       = Duration(0)
	_ starlark.HasAttrs       = Duration(0)
)

// String returns the duration as people write it.
func (d Duration) String() string { return calendar.FormatDuration(time.Duration(d)) }

// Type returns "duration".
func (d Duration) Type() string { return "duration" }

// Freeze does nothing.
func (d Duration) Freeze() {}

// Truth is false for no time at all.
func (d Duration) Truth() starlark.Bool { return d != 0 }

// Hash makes durations keys of dicts.
func (d Duration) Hash() (uint32, error) { return foldHash(uint64(d)), nil }

// foldHash mixes 64 bits into 32, the same on every run.
func foldHash(n uint64) uint32 {
	n *= 0x9E3779B97F4A7C15
	return uint32(n>>32) ^ uint32(n)
}

// Cmp orders durations by length.
func (d Duration) Cmp(other starlark.Value, _ int) (int, error) {
	o := other.(Duration)
	switch {
	case d < o:
		return -1, nil
	case d > o:
		return 1, nil
	}
	return 0, nil
}

// durationUnits are the attributes of a duration: its length in that unit.
var durationUnits = map[string]time.Duration{
	"milliseconds": time.Millisecond, "seconds": time.Second, "minutes": time.Minute, "hours": time.Hour, "days": calendar.Day,
}

// Attr returns the length in a unit: an int where it is whole, else a float.
func (d Duration) Attr(name string) (starlark.Value, error) {
	unit, ok := durationUnits[name]
	if !ok {
		return nil, nil
	}
	if time.Duration(d)%unit == 0 {
		return starlark.MakeInt64(int64(time.Duration(d) / unit)), nil
	}
	return starlark.Float(float64(d) / float64(unit)), nil
}

// AttrNames lists the units.
func (d Duration) AttrNames() []string {
	return []string{"days", "hours", "milliseconds", "minutes", "seconds"}
}

// Unary is the sign.
func (d Duration) Unary(op syntax.Token) (starlark.Value, error) {
	switch op {
	case syntax.MINUS:
		return -d, nil
	case syntax.PLUS:
		return d, nil
	}
	return nil, nil
}

// Binary computes with other durations and with numbers.
func (d Duration) Binary(op syntax.Token, other starlark.Value, side starlark.Side) (starlark.Value, error) {
	switch o := other.(type) {
	case Duration:
		return d.withDuration(op, o, side)
	case starlark.Int, starlark.Float:
		f, _ := starlark.AsFloat(o)
		return d.withNumber(op, other, f, side)
	case starlark.String:
		if op == syntax.PLUS || op == syntax.MINUS {
			span, err := calendar.ParseDuration(string(o))
			if err != nil {
				return nil, err
			}
			return d.withDuration(op, Duration(span), side)
		}
	}
	return nil, nil
}

func (d Duration) withDuration(op syntax.Token, o Duration, side starlark.Side) (starlark.Value, error) {
	if side == starlark.Right {
		d, o = o, d
	}
	switch op {
	case syntax.PLUS:
		return addDurations(d, o)
	case syntax.MINUS:
		return addDurations(d, -o)
	}
	if o == 0 && (op == syntax.SLASH || op == syntax.SLASHSLASH || op == syntax.PERCENT) {
		return nil, fmt.Errorf("division of a duration by zero")
	}
	switch op {
	case syntax.SLASH:
		return starlark.Float(float64(d) / float64(o)), nil
	case syntax.SLASHSLASH:
		return starlark.MakeInt64(int64(math.Floor(float64(d) / float64(o)))), nil
	case syntax.PERCENT:
		rest := d % o
		if rest != 0 && (rest < 0) != (o < 0) {
			rest += o // the sign of the divisor, as for numbers
		}
		return rest, nil
	}
	return nil, nil
}

func addDurations(d, o Duration) (starlark.Value, error) {
	sum := d + o
	if (o > 0) != (sum > d) && o != 0 {
		return nil, fmt.Errorf("duration out of range")
	}
	return sum, nil
}

func (d Duration) withNumber(op syntax.Token, number starlark.Value, f float64, side starlark.Side) (starlark.Value, error) {
	switch {
	case op == syntax.STAR:
		if n, ok := number.(starlark.Int); ok {
			if i, ok := n.Int64(); ok && (i == 0 || int64(d)*i/i == int64(d)) && !(i == -1 && int64(d) == math.MinInt64) {
				return Duration(int64(d) * i), nil
			}
		}
		return fromFloat(float64(d) * f)
	case (op == syntax.SLASH || op == syntax.SLASHSLASH) && side == starlark.Left:
		if f == 0 {
			return nil, fmt.Errorf("division of a duration by zero")
		}
		return fromFloat(float64(d) / f)
	}
	return nil, nil
}

func fromFloat(f float64) (starlark.Value, error) {
	if math.IsNaN(f) || math.Abs(f) >= math.MaxInt64 {
		return nil, fmt.Errorf("duration out of range")
	}
	return Duration(f), nil
}

// AsDuration reads a duration from a value: one, or its string.
func AsDuration(v starlark.Value) (time.Duration, error) {
	switch v := v.(type) {
	case Duration:
		return time.Duration(v), nil
	case starlark.String:
		return calendar.ParseDuration(string(v))
	}
	return 0, fmt.Errorf(`got %s, want a duration like "5m"`, v.Type())
}
