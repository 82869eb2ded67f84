package builtins

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"larkspur/builtins/reach"
	"larkspur/engine"
)

// Bounds of secrets and results.
const (
	minSecretBytes = 4 // shorter ones would blank out ordinary text
	minLineBytes   = 16
	minFormBytes   = 4
	valuesKept     = 3 // a secret's former values, after it was changed
	maxResultBytes = 16 << 20
)

// vault resolves secrets and remembers every value that it gave out, so that
// none of them passes the door inwards.
type vault struct {
	secrets reach.Secrets
	current atomic.Pointer[scrubber]

	mu     sync.Mutex
	values map[string][]string
}

func newVault(s reach.Secrets) *vault {
	v := &vault{secrets: s, values: map[string][]string{}}
	v.current.Store(newScrubber(nil))
	return v
}

// Get returns a secret's value. The error is of kind invalid and says where to
// put it.
func (v *vault) Get(name string) (string, error) {
	if v.secrets == nil {
		return "", missing(name, nil)
	}
	value, err := v.secrets.Get(name)
	if err != nil || value == "" {
		return "", missing(name, err)
	}
	v.remember(name, value)
	return value, nil
}

func (v *vault) remember(name, value string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	known := v.values[name]
	if slices.Contains(known, value) {
		return
	}
	known = append(known, value)
	v.values[name] = known[max(0, len(known)-valuesKept):]
	v.current.Store(newScrubber(v.values))
}

// scrubber returns what takes all known secrets out, the tokens of one call's
// links too.
func (v *vault) scrubber(tokens []string) *scrubber {
	if len(tokens) == 0 {
		return v.current.Load()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	all := make(map[string][]string, len(v.values)+1)
	for name, values := range v.values {
		all[name] = values
	}
	all["link"] = append(slices.Clone(all["link"]), tokens...)
	return newScrubber(all)
}

// scrubber replaces secrets by "[secret NAME]" in texts and values. Immutable.
type scrubber struct{ replacer *strings.Replacer }

// link is the address of any question or button, also of an earlier call.
var link = regexp.MustCompile(`(/[ab]/)[a-z2-7]{32}\b`)

func newScrubber(secrets map[string][]string) *scrubber {
	type form struct{ text, name string }
	var forms []form
	for name, values := range secrets {
		for _, value := range values {
			for _, text := range formsOf(value) {
				forms = append(forms, form{text, name})
			}
		}
	}
	if len(forms) == 0 {
		return &scrubber{}
	}
	// Of several that fit at one place the first in the list wins: longest first.
	slices.SortFunc(forms, func(a, b form) int {
		return cmp.Or(cmp.Compare(len(b.text), len(a.text)), strings.Compare(a.text, b.text), strings.Compare(a.name, b.name))
	})
	pairs := make([]string, 0, 2*len(forms))
	for _, f := range forms {
		pairs = append(pairs, f.text, "[secret "+f.name+"]")
	}
	return &scrubber{strings.NewReplacer(pairs...)}
}

// formsOf returns a secret as it may turn up in an answer: itself, its lines,
// escaped for URLs, JSON and HTML, in hexadecimal and base64.
func formsOf(value string) []string {
	var forms []string
	if trimmed := strings.TrimSpace(value); trimmed != value {
		forms = formsOf(trimmed)
	}
	if len(value) < minSecretBytes {
		return forms
	}
	forms = append(forms, value, url.QueryEscape(value), url.PathEscape(value),
		html.EscapeString(value), hex.EncodeToString([]byte(value)), strings.ToUpper(hex.EncodeToString([]byte(value))))
	if quoted, err := json.Marshal(value); err == nil {
		forms = append(forms, string(quoted[1:len(quoted)-1]))
	}
	if quoted, err := engine.MarshalJSON(value); err == nil {
		forms = append(forms, string(quoted[1:len(quoted)-1]))
	}
	forms = append(forms, lowerEscapes(url.QueryEscape(value)), lowerEscapes(url.PathEscape(value)))
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		forms = append(forms, base64Forms(encoding, value)...)
	}
	if strings.Contains(value, "\n") {
		for line := range strings.Lines(value) {
			if line = strings.TrimSpace(line); len(line) >= minLineBytes && !strings.HasPrefix(line, "-----") {
				forms = append(forms, line)
			}
		}
	}
	slices.Sort(forms)
	return slices.Compact(forms)
}

// base64Forms returns the part of a secret's encoding that is the same whatever
// stands before and after it, for each of the three places at which it can begin
// within a group of three bytes.
func base64Forms(encoding *base64.Encoding, value string) []string {
	var forms []string
	for offset := range 3 {
		text := encoding.EncodeToString([]byte(strings.Repeat("\x00", offset) + value + "\x00\x00"))
		first := (offset*8 + 5) / 6
		last := (offset + len(value)) * 8 / 6
		if form := text[first:last]; len(form) >= minFormBytes {
			forms = append(forms, form)
		}
	}
	return forms
}

// escape matches one percent-escaped byte.
var escape = regexp.MustCompile(`%[0-9A-F]{2}`)

func lowerEscapes(s string) string { return escape.ReplaceAllStringFunc(s, strings.ToLower) }

func (s *scrubber) text(t string) string {
	if s.replacer != nil {
		t = s.replacer.Replace(t)
	}
	if strings.Contains(t, "/a/") || strings.Contains(t, "/b/") {
		t = link.ReplaceAllString(t, "${1}[secret link]")
	}
	return t
}

// result scrubs everything of a result that is recorded. The error is of kind
// invalid: the result is too large or too deep.
func (s *scrubber) result(r engine.Result) (out engine.Result, err error) {
	w := walker{scrubber: s, left: maxResultBytes}
	if out.Value, err = w.value(r.Value, 0); err != nil {
		return out, err
	}
	if r.Change != nil {
		args, err := w.fields(r.Change.Args, 0)
		if err != nil {
			return out, err
		}
		out.Change = &engine.Inverse{Title: s.text(r.Change.Title), Builtin: r.Change.Builtin, Args: args}
	}
	for _, start := range r.Starts {
		if start.Args, err = w.fields(start.Args, 0); err != nil {
			return out, err
		}
		out.Starts = append(out.Starts, start)
	}
	return out, nil
}

// walker scrubs a value and counts its bytes.
type walker struct {
	*scrubber
	left int
}

func (w *walker) count(n int) error {
	if w.left -= n; w.left < 0 {
		return engine.Errorf(engine.Invalid, "larger than %d MB", maxResultBytes>>20)
	}
	return nil
}

func (w *walker) value(v engine.Value, depth int) (engine.Value, error) {
	if depth > engine.MaxDepth-2 {
		return nil, engine.Errorf(engine.Invalid, "nested deeper than %d", engine.MaxDepth)
	}
	switch v := v.(type) {
	case string:
		return w.text(v), w.count(len(v) + 8)
	case engine.Bytes:
		return engine.Bytes(w.text(string(v))), w.count(2 * len(v))
	case []engine.Value:
		return w.list(v, depth)
	case []string:
		list := make([]engine.Value, len(v))
		for i, s := range v {
			list[i] = s
		}
		return w.list(list, depth)
	case engine.Tuple:
		list, err := w.list(v, depth)
		return engine.Tuple(list), err
	case engine.Set:
		list, err := w.list(v, depth)
		return engine.Set(list), err
	case map[string]engine.Value:
		return w.fields(v, depth)
	case engine.Struct:
		fields, err := w.fields(v.Fields, depth)
		return engine.Struct{Type: v.Type, Fields: fields}, err
	case engine.Dict:
		out := make(engine.Dict, len(v))
		for i, p := range v {
			pair, err := w.list([]engine.Value{p.Key, p.Value}, depth)
			if err != nil {
				return nil, err
			}
			out[i] = engine.Pair{Key: pair[0], Value: pair[1]}
		}
		return out, nil
	}
	return v, w.count(8)
}

func (w *walker) list(list []engine.Value, depth int) ([]engine.Value, error) {
	out := make([]engine.Value, len(list))
	for i, v := range list {
		var err error
		if out[i], err = w.value(v, depth+1); err != nil {
			return nil, err
		}
	}
	return out, w.count(len(list))
}

func (w *walker) fields(m map[string]engine.Value, depth int) (map[string]engine.Value, error) {
	if m == nil {
		return nil, nil
	}
	out := make(map[string]engine.Value, len(m))
	for k, v := range m {
		if err := w.count(len(k) + 8); err != nil {
			return nil, err
		}
		inner, err := w.value(v, depth+1)
		if err != nil {
			return nil, err
		}
		out[w.text(k)] = inner
	}
	return out, nil
}
