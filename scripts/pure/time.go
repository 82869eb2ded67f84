package pure

import (
	"fmt"
	"strings"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"

	"larkspur/engine"
)

// Time is a moment in scripts, shown in its zone.
type Time struct{ T time.Time }

var (
	_ starlark.TotallyOrdered = Time{}
	_ starlark.HasBinary      = Time{}
	_ starlark.HasAttrs       = Time{}
)

// String returns the moment as in RFC 3339.
func (t Time) String() string { return t.T.Format(time.RFC3339Nano) }

// Type returns "time".
func (t Time) Type() string { return "time" }

// Freeze does nothing.
func (t Time) Freeze() {}

// Truth is true: every moment is one.
func (t Time) Truth() starlark.Bool { return true }

// Hash makes times keys of dicts; equal moments in two zones are one key.
func (t Time) Hash() (uint32, error) { return foldHash(uint64(t.T.UnixNano())), nil }

// Cmp orders moments.
func (t Time) Cmp(other starlark.Value, _ int) (int, error) { return t.T.Compare(other.(Time).T), nil }

// weekdays are named as in cron expressions and business hours.
var weekdays = [...]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// Attr returns a part of the time in its zone.
func (t Time) Attr(name string) (starlark.Value, error) {
	switch name {
	case "year":
		return starlark.MakeInt(t.T.Year()), nil
	case "month":
		return starlark.MakeInt(int(t.T.Month())), nil
	case "day":
		return starlark.MakeInt(t.T.Day()), nil
	case "hour":
		return starlark.MakeInt(t.T.Hour()), nil
	case "minute":
		return starlark.MakeInt(t.T.Minute()), nil
	case "second":
		return starlark.MakeInt(t.T.Second()), nil
	case "weekday":
		return starlark.String(weekdays[t.T.Weekday()]), nil
	case "unix":
		return starlark.MakeInt64(t.T.Unix()), nil
	case "zone":
		return starlark.String(t.T.Location().String()), nil
	case "format":
		return starlark.NewBuiltin("time.format", t.format), nil
	}
	return nil, nil
}

// AttrNames lists the parts.
func (t Time) AttrNames() []string {
	return []string{"day", "format", "hour", "minute", "month", "second", "unix", "weekday", "year", "zone"}
}

// Binary adds and takes away durations; two times have a duration between them.
func (t Time) Binary(op syntax.Token, other starlark.Value, side starlark.Side) (starlark.Value, error) {
	if o, ok := other.(Time); ok && op == syntax.MINUS && side == starlark.Left {
		return Duration(t.T.Sub(o.T)), nil
	}
	if op != syntax.PLUS && (op != syntax.MINUS || side == starlark.Right) {
		return nil, nil
	}
	switch other.(type) {
	case Duration, starlark.String:
	default:
		return nil, nil
	}
	d, err := AsDuration(other)
	if err != nil {
		return nil, err
	}
	if op == syntax.MINUS {
		d = -d
	}
	return Time{t.T.Add(d)}, nil
}

func timeModule() *starlarkstruct.Module {
	return module("time", map[string]builtin{
		"now":      noClock,
		"parse":    timeParse,
		"format":   timeFormat,
		"duration": timeDuration,
		"unix":     timeUnix,
		"time":     timeMake,
	})
}

// noClock names the word that is recorded: a clock here would differ on replay.
func noClock(*starlark.Thread, *starlark.Builtin, starlark.Tuple, []starlark.Tuple) (starlark.Value, error) {
	return nil, engine.Errorf(engine.Script, "time.now: there is no clock in this module").
		WithHint("call now(), whose result is recorded")
}

// zoneOf returns the named zone, or the thread's for "".
func zoneOf(thread *starlark.Thread, fn, name string) (*time.Location, error) {
	if name == "" {
		return Zone(thread), nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, engine.Errorf(engine.Invalid, "%s: tz: got %.80q, want the name of a time zone", fn, name).
			WithHint(`names are those of the IANA database, like "Europe/London" or "UTC"`)
	}
	return zone, nil
}

const defaultLayout = "%Y-%m-%d %H:%M"

func timeFormat(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var t Time
	layout, tz := defaultLayout, ""
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "t", &t, "format?", &layout, "tz?", &tz); err != nil {
		return nil, err
	}
	if tz != "" {
		zone, err := zoneOf(thread, b.Name(), tz)
		if err != nil {
			return nil, err
		}
		t.T = t.T.In(zone)
	}
	text, err := strftime(t.T, layout)
	return starlark.String(text), err
}

// format is timeFormat as a method.
func (t Time) format(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	return timeFormat(thread, b, append(starlark.Tuple{t}, args...), kwargs)
}

// Unpack lets UnpackArgs fill a Time.
func (t *Time) Unpack(v starlark.Value) error {
	got, ok := v.(Time)
	if !ok {
		return fmt.Errorf("got %s, want time", v.Type())
	}
	*t = got
	return nil
}

// commonLayouts are tried by time.parse without a format.
var commonLayouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02",
	time.RFC1123Z, time.RFC1123,
}

func timeParse(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var text, layout, tz string
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "text", &text, "format?", &layout, "tz?", &tz); err != nil {
		return nil, err
	}
	zone, err := zoneOf(thread, b.Name(), tz)
	if err != nil {
		return nil, err
	}
	if layout != "" {
		t, err := strptime(text, layout, zone)
		if err != nil {
			return nil, err
		}
		return Time{t.In(zone)}, nil
	}
	for _, l := range commonLayouts {
		if t, err := time.ParseInLocation(l, strings.TrimSpace(text), zone); err == nil {
			return Time{t.In(zone)}, nil
		}
	}
	return nil, engine.Errorf(engine.Invalid, "time.parse: %.80q is not a time", text).
		WithHint(`want "2026-11-22T08:00:00Z", "2026-11-22 08:00" or "2026-11-22", or say how with format=`)
}

func timeDuration(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var text starlark.Value = starlark.None
	var seconds starlark.Value = starlark.None
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "text?", &text, "seconds?", &seconds); err != nil {
		return nil, err
	}
	if f, ok := starlark.AsFloat(seconds); ok && text == starlark.None {
		return fromFloat(f * float64(time.Second))
	}
	d, err := AsDuration(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Name(), err)
	}
	return Duration(d), nil
}

func timeUnix(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var seconds starlark.Value
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "seconds", &seconds); err != nil {
		return nil, err
	}
	const most = 253402300799 // the last second of the year 9999
	f, ok := starlark.AsFloat(seconds)
	if !ok || !(f >= -most && f <= most) {
		return nil, engine.Errorf(engine.Invalid, "%s: got %s, want seconds since 1970", b.Name(), seconds.Type())
	}
	whole := int64(f)
	return Time{time.Unix(whole, int64((f-float64(whole))*1e9)).In(Zone(thread))}, nil
}

func timeMake(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var year, month, day, hour, minute, second int
	var tz string
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "year", &year, "month", &month, "day", &day,
		"hour?", &hour, "minute?", &minute, "second?", &second, "tz?", &tz); err != nil {
		return nil, err
	}
	zone, err := zoneOf(thread, b.Name(), tz)
	if err != nil {
		return nil, err
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, zone)
	if t.Year() != year || int(t.Month()) != month || t.Day() != day || year < 1 || year > 9999 {
		return nil, engine.Errorf(engine.Invalid, "%s: there is no %04d-%02d-%02d", b.Name(), year, month, day)
	}
	return Time{t}, nil
}
