package pure

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"larkspur/engine"
)

// layouts maps the directives of strftime(3), as Python has them, to Go's
// layouts.
var layouts = map[byte]string{
	'Y': "2006", 'm': "01", 'd': "02", 'H': "15", 'M': "04", 'S': "05", 'y': "06", 'I': "03", 'p': "PM",
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'j': "002", 'z': "-0700", 'Z': "MST",
	'F': "2006-01-02", 'T': "15:04:05", 'e': "_2", 'f': "000000",
}

// strftime formats t by a layout with % directives.
func strftime(t time.Time, layout string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(layout); i++ {
		c := layout[i]
		if c != '%' || i+1 == len(layout) {
			b.WriteByte(c)
			continue
		}
		i++
		switch c = layout[i]; c {
		case '%':
			b.WriteByte('%')
		case 's':
			b.WriteString(strconv.FormatInt(t.Unix(), 10))
		case 'f':
			fmt.Fprintf(&b, "%06d", t.Nanosecond()/1000)
		case 'u':
			b.WriteString(strconv.Itoa(int(t.Weekday()+6)%7 + 1))
		case 'V':
			_, week := t.ISOWeek()
			fmt.Fprintf(&b, "%02d", week)
		default:
			l, ok := layouts[c]
			if !ok {
				return "", badDirective(c)
			}
			b.WriteString(t.Format(l))
		}
	}
	return b.String(), nil
}

func badDirective(c byte) error {
	return engine.Errorf(engine.Invalid, "time format: %%%c is not known", c).
		WithHint("directives are %%Y %%m %%d %%H %%M %%S %%f %%y %%I %%p %%a %%A %%b %%B %%j %%z %%Z %%F %%T %%e %%u %%V %%s and %%%%")
}

// strptime reads text by a layout with % directives.
func strptime(text, layout string, zone *time.Location) (time.Time, error) {
	if layout == "%s" {
		n, err := strconv.ParseInt(text, 10, 40)
		if err == nil {
			return time.Unix(n, 0), nil
		}
	}
	goLayout, err := goLayout(layout)
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.ParseInLocation(goLayout, text, zone)
	if err != nil {
		return time.Time{}, engine.Errorf(engine.Invalid, "time.parse: %.80q is not of the form %.80q", text, layout)
	}
	return t, nil
}

// goLayout translates a layout. Literal digits and letters that Go would take
// for parts of a time cannot be told apart, so only punctuation and the letters
// T and Z may stand between directives.
func goLayout(layout string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(layout); i++ {
		c := layout[i]
		if c != '%' {
			if c >= '0' && c <= '9' || c != 'T' && c != 'Z' && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
				return "", engine.Errorf(engine.Invalid, "time.parse: the format %.80q has %q outside of a directive", layout, c)
			}
			b.WriteByte(c)
			continue
		}
		if i++; i == len(layout) {
			return "", badDirective(' ')
		}
		l, ok := layouts[layout[i]]
		switch {
		case layout[i] == '%':
			b.WriteByte('%')
		case !ok:
			return "", badDirective(layout[i])
		default:
			b.WriteString(l)
		}
	}
	return b.String(), nil
}
