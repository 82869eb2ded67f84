package calendar

import (
	"math"
	"strconv"
	"strings"
	"time"

	"larkspur/engine"
)

// Day, Week and Year are the long units of durations. They are plain spans: a
// day is 24 hours whatever a zone does to its clocks, a year 365 days.
const (
	Day  = 24 * time.Hour
	Week = 7 * Day
	Year = 365 * Day
)

// span is one unit that people write.
type span struct {
	name string
	size time.Duration
}

// spans in the order in which FormatDuration uses them.
var spans = [...]span{
	{"y", Year}, {"w", Week}, {"d", Day}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond},
}

// maxDurationText bounds what is parsed.
const maxDurationText = 64

// ParseDuration reads a duration as people write it: numbers with the units ms,
// s, m, h, d, w and y, alone or in a sum: "5m", "1h30m", "2w", "1.5s". A leading
// minus is understood. Errors are of kind invalid.
func ParseDuration(text string) (time.Duration, error) {
	rest, negative := strings.CutPrefix(text, "-")
	if rest == "" || len(text) > maxDurationText {
		return 0, badDuration(text)
	}
	var sum time.Duration
	for rest != "" {
		part, after, err := cutSpan(text, rest)
		if err != nil {
			return 0, err
		}
		if sum += part; sum < 0 {
			return 0, tooLong(text)
		}
		rest = after
	}
	if negative {
		return -sum, nil
	}
	return sum, nil
}

// cutSpan reads one number and its unit from the beginning of rest.
func cutSpan(text, rest string) (time.Duration, string, error) {
	end := len(rest) - len(strings.TrimLeft(rest, "0123456789."))
	number, rest := rest[:end], rest[end:]
	end = len(rest) - len(strings.TrimLeft(rest, "abcdefghijklmnopqrstuvwxyz"))
	unit, rest := rest[:end], rest[end:]
	whole, fraction, _ := strings.Cut(number, ".")
	if whole == "" || strings.Contains(fraction, ".") || strings.HasSuffix(number, ".") {
		return 0, "", badDuration(text)
	}
	if unit == "" {
		return 0, "", engine.Errorf(engine.Invalid, "duration %.64q: a number without a unit", text).
			WithHint("write its unit: %ss, %sm, %sh or %sd", number, number, number, number)
	}
	for _, s := range spans {
		if s.name != unit {
			continue
		}
		d, ok := multiply(whole, fraction, s.size)
		if !ok {
			return 0, "", tooLong(text)
		}
		return d, rest, nil
	}
	return 0, "", badDuration(text)
}

// multiply computes whole.fraction × size without rounding what fits.
func multiply(whole, fraction string, size time.Duration) (time.Duration, bool) {
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n > math.MaxInt64/int64(size) {
		return 0, false
	}
	d := time.Duration(n) * size
	for _, digit := range fraction {
		size /= 10
		d += time.Duration(digit-'0') * size
	}
	return d, d >= 0
}

func badDuration(text string) error {
	return engine.Errorf(engine.Invalid, "duration %.64q: want a number and a unit", text).
		WithHint(`the units are ms, s, m, h, d, w and y, as in "30s", "5m", "1h30m" or "7d"`)
}

func tooLong(text string) error {
	return engine.Errorf(engine.Invalid, "duration %.64q: longer than 292 years", text)
}

// FormatDuration writes d in days and smaller units: "5m", "1h30m", "14d", and
// "1.25s" where there are parts of a second. ParseDuration reads it back.
func FormatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	if d == math.MinInt64 {
		d++ // has no positive counterpart
	}
	var b strings.Builder
	if d < 0 {
		b.WriteByte('-')
		d = -d
	}
	if d < time.Second {
		return b.String() + decimal(d, time.Millisecond) + "ms"
	}
	for _, s := range spans[2:5] { // d, h, m
		if n := d / s.size; n > 0 {
			b.WriteString(strconv.FormatInt(int64(n), 10) + s.name)
			d %= s.size
		}
	}
	if d > 0 {
		b.WriteString(decimal(d, time.Second) + "s")
	}
	return b.String()
}

// decimal writes d / unit without losing a nanosecond.
func decimal(d, unit time.Duration) string {
	whole := strconv.FormatInt(int64(d/unit), 10)
	rest := d % unit
	if rest == 0 {
		return whole
	}
	digits := strconv.FormatInt(int64(unit+rest), 10)[1:] // keeps leading zeros
	return whole + "." + strings.TrimRight(digits, "0")
}
