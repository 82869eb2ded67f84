package pure

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// TestScripts runs testdata/*.star. Chunks are separated by lines of "---"; a
// line with ### is expected to fail with a message that matches the quoted
// regular expression behind it.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.star")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		line := 0
		for chunk := range strings.SplitSeq(string(text), "\n---\n") {
			runChunk(t, file, strings.Repeat("\n", line)+chunk)
			line += strings.Count(chunk, "\n") + 2
		}
	}
}

var expected = regexp.MustCompile(`### (".*")$`)

func runChunk(t *testing.T, file, source string) {
	t.Helper()
	wants := map[int]string{}
	for n, line := range strings.Split(source, "\n") {
		if m := expected.FindStringSubmatch(line); m != nil {
			pattern, err := strconv.Unquote(m[1])
			if err != nil {
				t.Fatalf("%s:%d: %v", file, n+1, err)
			}
			wants[n+1] = pattern
		}
	}
	err := runSource(t, file, source)
	line, message := 0, ""
	var eval *starlark.EvalError
	if errors.As(err, &eval) {
		message = eval.Msg
		for i := range eval.CallStack {
			if pos := eval.CallStack.At(i).Pos; line == 0 && pos.Filename() == file {
				line = int(pos.Line)
			}
		}
	} else if err != nil {
		t.Fatal(err)
	}
	if want, ok := wants[line]; err != nil && (!ok || !regexp.MustCompile(want).MatchString(message)) {
		t.Errorf("\n%s:%d: got %q, want %q", file, line, message, want)
	}
	if err == nil && len(wants) > 0 {
		t.Errorf("%s: nothing failed, want %v", file, wants)
	}
}

// runSource executes a source with Members, eq(got, want) and fails(fn, pattern).
func runSource(t *testing.T, file, source string) error {
	names := Members()
	names["eq"] = starlark.NewBuiltin("eq", func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		equal, err := starlark.Equal(args[0], args[1])
		if err == nil && !equal {
			t.Errorf("\n%s: got %s, want %s", thread.CallFrame(1).Pos, args[0], args[1])
		}
		return starlark.None, err
	})
	names["fails"] = starlark.NewBuiltin("fails", func(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
		_, err := starlark.Call(thread, args[0], nil, nil)
		pattern, _ := starlark.AsString(args[1])
		if err == nil || !strings.Contains(err.Error(), pattern) {
			t.Errorf("\n%s: got error %v, want %q", thread.CallFrame(1).Pos, err, pattern)
		}
		return starlark.None, nil
	})
	thread := &starlark.Thread{Name: file}
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	SetZone(thread, zone)
	options := &syntax.FileOptions{Set: true, While: true, TopLevelControl: true, GlobalReassign: true}
	_, err = starlark.ExecFileOptions(options, thread, file, source, names)
	return err
}

func TestPatternsAreForgotten(t *testing.T) {
	r := newRegexps()
	for n := range 3 * maxCompiled {
		if _, err := r.compile("re.search", strconv.Itoa(n), 0, false); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.compiled) > maxCompiled {
		t.Errorf("got %d patterns, want at most %d", len(r.compiled), maxCompiled)
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a": [1, 2.5, "x", null, true]}`, strings.Repeat("[", 300), `"\ud800"`, `1e400`, `{"a":1,"a":2}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := DecodeJSON(&starlark.Thread{}, text)
		if err != nil {
			return
		}
		if _, err := appendJSON(nil, v, 0); err != nil && !strings.Contains(err.Error(), "UTF-8") {
			t.Errorf("%q came in and not out: %v", text, err)
		}
	})
}

func FuzzTime(f *testing.F) {
	f.Add("2026-11-22 08:00", "%Y-%m-%d %H:%M")
	f.Add("", "%")
	f.Fuzz(func(t *testing.T, text, layout string) {
		parsed, err := strptime(text, layout, time.UTC)
		if err != nil {
			return
		}
		if _, err := strftime(parsed, layout); err != nil {
			t.Errorf("%q parses with %q and does not print: %v", text, layout, err)
		}
	})
}

func FuzzSub(f *testing.F) {
	f.Add("(a)|b", `<\1\g<1>\\>`, "abc")
	f.Fuzz(func(t *testing.T, pattern, template, text string) {
		re, err := regexp.Compile(pattern)
		if err != nil || len(text) > 1000 {
			return
		}
		parts, err := parseTemplate(re, template)
		if err != nil {
			return
		}
		for _, loc := range re.FindAllStringSubmatchIndex(text, -1) {
			expand(parts, &match{re, text, loc})
		}
	})
}
