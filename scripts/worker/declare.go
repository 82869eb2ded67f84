package worker

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.starlark.net/starlark"

	"larkspur/engine"
)

// pendingHandler is a handler whose name is known for sure only once its file
// has been executed to the end.
type pendingHandler struct {
	fn    *starlark.Function
	at    engine.Position
	param string
	// roles are what its first parameters hold; fields those that the event can
	// have, nil: any.
	roles  []role
	fields []string
}

// declaration reads the arguments of rule or job. It collects findings instead
// of stopping at the first, so that one pass shows them all.
type declaration struct {
	*loader
	word   string
	bound  map[string]starlark.Value
	at     engine.Position
	fields []string // of the events of a rule, nil: any
	failed bool
}

// declaring begins a declaration; d is nil when the call as a whole is wrong,
// which is a finding, too.
func declaring(thread *starlark.Thread, w *word, args starlark.Tuple, kwargs []starlark.Tuple) (*declaration, error) {
	l, ok := thread.Local(loaderKey).(*loader)
	if !ok {
		return nil, engine.Errorf(engine.Script, "%s: only at the top level, or in a function called from there", w.Name)
	}
	if len(l.stack) > 0 && engine.IsTestFile(l.stack[len(l.stack)-1]) {
		return nil, engine.Errorf(engine.Script, "%s: a test file declares nothing: it tests what other files declare", w.Name)
	}
	d := &declaration{loader: l, word: w.Name, at: enginePosition(here(thread))}
	bound, err := w.bind(args, kwargs)
	if err != nil {
		d.wrong("", err)
		return nil, nil
	}
	d.bound = bound
	return d, nil
}

// wrong makes a finding about one argument.
func (d *declaration) wrong(param string, err error) {
	d.failed = true
	where := d.word
	if param != "" {
		where = param // the line says which word
	}
	if !strings.HasPrefix(err.Error(), where) {
		err = wrongArgument(where, "", err)
	}
	d.report(d.at, "argument", err)
}

func (d *declaration) text(param, fallback string) string {
	v, given := d.bound[param]
	if !given {
		return fallback
	}
	s, ok := starlark.AsString(v)
	if !ok {
		d.wrong(param, engine.Errorf(engine.Invalid, "got %s, want a string", describe(v)))
	}
	return s
}

// choice is a text out of a few.
func (d *declaration) choice(param, fallback string, choices ...string) string {
	s := d.text(param, fallback)
	if s != "" && !slices.Contains(choices, s) {
		last := len(choices) - 1
		d.wrong(param, engine.Errorf(engine.Invalid, "got %.60q, want %s or %s", s, strings.Join(choices[:last], ", "), choices[last]))
	}
	return s
}

// listed is a text that must be among the names of a kind, where check was told
// them.
func (d *declaration) listed(param, kind, what string) string {
	s := d.text(param, "")
	names, known := d.bundle.names[kind]
	if s != "" && known && !slices.Contains(names, s) {
		d.wrong(param, engine.Errorf(engine.Invalid, "%s %.60q does not exist", what, s).WithHint("%s", didYouMean(s, names)))
	}
	return s
}

func (d *declaration) flag(param string) bool {
	v, given := d.bound[param]
	if !given {
		return false
	}
	b, ok := v.(starlark.Bool)
	if !ok {
		d.wrong(param, engine.Errorf(engine.Invalid, "got %s, want True or False", describe(v)))
	}
	return bool(b)
}

func (d *declaration) duration(param string) time.Duration {
	v, given := d.bound[param]
	if !given {
		return 0
	}
	value, err := d.converter.accept("duration", v)
	if err != nil {
		d.wrong(param, err)
	}
	span, _ := value.(time.Duration)
	return span
}

// rateUnits are the spans of "N/s".
var rateUnits = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}

// rate reads "10/h".
func (d *declaration) rate(param string) (int, time.Duration) {
	s := d.text(param, "")
	if s == "" {
		return 0, 0
	}
	number, unit, _ := strings.Cut(s, "/")
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || rateUnits[unit] == 0 {
		d.wrong(param, engine.Errorf(engine.Invalid, `got %.60q, want a number of times a second, minute, hour or day, like "10/h"`, s))
		return 0, 0
	}
	return n, rateUnits[unit]
}

// maxArgsBytes bounds what a declaration hands on.
const maxArgsBytes = 64 << 10

// args reads plain data with text keys, and returns the keys.
func (d *declaration) args() (engine.Data, []string) {
	v, given := d.bound["args"]
	if !given {
		return engine.MustEncode(map[string]engine.Value{}), nil
	}
	value, err := d.converter.accept("dict", v)
	m, ok := value.(map[string]engine.Value)
	if err == nil && !ok {
		err = engine.Errorf(engine.Invalid, "got a dict whose keys are not all strings")
	}
	var data engine.Data
	if err == nil {
		data, err = engine.Encode(m)
	}
	if err == nil && len(data) > maxArgsBytes {
		err = engine.Errorf(engine.Invalid, "got %d bytes, at most %d", len(data), maxArgsBytes)
	}
	if err != nil {
		d.wrong("args", err)
	}
	return data, textKeys(v)
}

// textKeys lists the keys of a dict that are strings.
func textKeys(v starlark.Value) []string {
	var keys []string
	for _, item := range keywords(v) {
		if s, ok := starlark.AsString(item[0]); ok {
			keys = append(keys, s)
		}
	}
	return keys
}

// handler reads a function that may run later: a top-level def that can be
// called with these arguments. nil when it is left out or wrong.
func (d *declaration) handler(param string, positional, keywords []string) *engine.Handler {
	v, given := d.bound[param]
	if !given {
		return nil
	}
	fn, ok := v.(*starlark.Function)
	if !ok {
		d.wrong(param, engine.Errorf(engine.Invalid, "got %s, want a top-level def", describe(v)))
		return nil
	}
	h := engine.Handler{File: scriptPath(fn.Position().Filename()), Name: fn.Name()}
	if h.Name == "lambda" {
		_, err := d.bundle.handler(fn)
		d.wrong(param, err)
		return nil
	}
	if why := accepts(fn, positional, keywords); why != "" {
		d.wrong(param, engine.Errorf(engine.Invalid, "%s", why))
	}
	roles := make([]role, len(positional))
	for i, what := range positional {
		roles[i] = role(what)
	}
	d.handlers = append(d.handlers, pendingHandler{fn: fn, at: d.at, param: param, roles: roles, fields: d.fields})
	return &h
}

// settleHandlers holds the names of handlers against what files define in the
// end.
func (l *loader) settleHandlers() {
	for _, p := range l.handlers {
		if m := l.bundle.modules[scriptPath(p.fn.Position().Filename())]; m == nil || m.state != loaded {
			continue
		}
		if _, err := l.bundle.handler(p.fn); err != nil {
			l.report(p.at, "argument", wrongArgument(p.param, "", err))
		}
	}
}

// namePattern is that of rules and jobs.
var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,99}$`)

// name reads a name that is unique among rules and jobs.
func (d *declaration) name() string {
	name := d.text("name", "")
	if !namePattern.MatchString(name) {
		d.wrong("name", engine.Errorf(engine.Invalid, "got %.60q, want small letters, digits and -", name))
		return name
	}
	if first, twice := d.names[name]; twice {
		d.wrong("name", engine.Errorf(engine.Conflict, "%q is declared at %s:%d:%d already", name, first.File, first.Line, first.Col))
		return name
	}
	d.names[name] = d.at
	return name
}

func jobSignature() *word {
	return newWord(engine.Signature{Name: "job", Params: []engine.Param{
		{Name: "name", Kind: "text", Required: true}, {Name: "every", Kind: "duration"}, {Name: "cron", Kind: "text"}, {Name: "tz", Kind: "text"},
		{Name: "do", Kind: "handler", Required: true}, {Name: "args", Kind: "dict"}, {Name: "overlap", Kind: "bool"},
		{Name: "jitter", Kind: "duration"}, {Name: "catch_up", Kind: "bool"},
	}})
}

func jobWord(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	d, err := declaring(thread, jobSignature(), args, kwargs)
	if d == nil {
		return starlark.None, err
	}
	j := engine.Job{
		Name: d.name(), Every: d.duration("every"), Cron: d.text("cron", ""), Zone: d.text("tz", ""), Overlap: d.flag("overlap"),
		Jitter: d.duration("jitter"), CatchUp: d.flag("catch_up"), Mode: "live", At: d.at,
	}
	var keys []string
	j.Args, keys = d.args()
	if h := d.handler("do", nil, keys); h != nil {
		j.Do = *h
	}
	d.checkSchedule(j)
	if !d.failed {
		d.bundle.declarations.Jobs = append(d.bundle.declarations.Jobs, j)
	}
	return starlark.None, nil
}

func (d *declaration) checkSchedule(j engine.Job) {
	switch {
	case (j.Every > 0) == (j.Cron != ""):
		d.wrong("", engine.Errorf(engine.Invalid, "job: got both or neither of every and cron, want one"))
	case j.Every > 0 && j.Every < time.Second:
		d.wrong("every", engine.Errorf(engine.Invalid, "got %s, want at least 1s", describe(d.bound["every"])))
	case j.Cron != "" && len(strings.Fields(j.Cron)) != 5:
		d.wrong("cron", engine.Errorf(engine.Invalid, "got %.60q, want five fields: minute hour day month weekday", j.Cron).
			WithHint(`like "0 8 * * mon-fri"`))
	}
	if _, err := zoneNamed(j.Zone); err != nil {
		d.wrong("tz", engine.Errorf(engine.Invalid, "got %.60q, want the name of a time zone", j.Zone))
	}
}
