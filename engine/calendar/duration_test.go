package calendar

import (
	"testing"
	"time"

	"larkspur/engine"
)

func TestParseDuration(t *testing.T) {
	tests := []struct {
		text string
		want time.Duration
	}{
		{"250ms", 250 * time.Millisecond},
		{"180s", 3 * time.Minute},
		{"5m", 5 * time.Minute},
		{"1h30m", 90 * time.Minute},
		{"1d", 24 * time.Hour},
		{"2w", 14 * 24 * time.Hour},
		{"2y", 730 * 24 * time.Hour},
		{"1.5s", 1500 * time.Millisecond},
		{"0.000001ms", time.Nanosecond},
		{"0s", 0},
		{"-5m", -5 * time.Minute},
		{"1y1w1d1h1m1s1ms", Year + Week + Day + time.Hour + time.Minute + time.Second + time.Millisecond},
	}
	for _, tt := range tests {
		got, err := ParseDuration(tt.text)
		if err != nil || got != tt.want {
			t.Errorf("ParseDuration(%q): got %v, %v, want %v", tt.text, got, err, tt.want)
		}
	}
}

func TestParseDurationRefuses(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", `duration "": want a number and a unit`},
		{"-", `duration "-": want a number and a unit`},
		{"5", `duration "5": a number without a unit`},
		{"m", `duration "m": want a number and a unit`},
		{"5 m", `duration "5 m": a number without a unit`},
		{"5min", `duration "5min": want a number and a unit`},
		{"1.s", `duration "1.s": want a number and a unit`},
		{"1.2.3s", `duration "1.2.3s": want a number and a unit`},
		{"300y", `duration "300y": longer than 292 years`},
		{"99999999999999999999s", `duration "99999999999999999999s": longer than 292 years`},
		{"290y290y", `duration "290y290y": longer than 292 years`},
	}
	for _, tt := range tests {
		_, err := ParseDuration(tt.text)
		if err == nil || err.Error() != tt.want {
			t.Errorf("ParseDuration(%q): got error %v, want %v", tt.text, err, tt.want)
		}
		if engine.KindOf(err) != engine.Invalid {
			t.Errorf("ParseDuration(%q): got kind %v, want invalid", tt.text, engine.KindOf(err))
		}
	}
}

func TestFormatDuration(t *testing.T) {
	tests := []struct {
		d    time.Duration
		want string
	}{
		{0, "0s"},
		{5 * time.Minute, "5m"},
		{180 * time.Second, "3m"},
		{90 * time.Minute, "1h30m"},
		{14 * Day, "14d"},
		{250 * time.Millisecond, "250ms"},
		{1250 * time.Millisecond, "1.25s"},
		{time.Minute + 5*time.Millisecond, "1m0.005s"},
		{time.Nanosecond, "0.000001ms"},
		{-90 * time.Second, "-1m30s"},
	}
	for _, tt := range tests {
		if got := FormatDuration(tt.d); got != tt.want {
			t.Errorf("FormatDuration(%d): got %q, want %q", tt.d, got, tt.want)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"5m", "1h30m", "-1.5s", "9223372036.854775807s", "1y", "0.1ms"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := ParseDuration(text)
		if err != nil {
			return
		}
		back, err := ParseDuration(FormatDuration(d))
		if err != nil || back != d {
			t.Errorf("%q: %v came back from %q as %v, %v", text, d, FormatDuration(d), back, err)
		}
	})
}
