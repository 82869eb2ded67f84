package worker

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.starlark.net/starlark"

	"larkspur/engine"
	"larkspur/scripts/pure"
)

// playbookValue is a playbook with parameters: larkspur.yaml switches it on, as
// often as wanted. Immutable.
type playbookValue struct {
	doc     string
	declare starlark.Callable
	params  []namedParam // in the order in which the script has them
	broken  bool         // it has findings: nothing more is said of it
}

type namedParam struct {
	name string
	*paramValue
}

func (p *playbookValue) String() string       { return "playbook" }
func (p *playbookValue) Type() string         { return "playbook" }
func (p *playbookValue) Freeze()              { p.declare.Freeze() }
func (p *playbookValue) Truth() starlark.Bool { return true }
func (p *playbookValue) Hash() (uint32, error) {
	return 0, engine.Errorf(engine.Script, "unhashable: playbook")
}

func playbookSignature() *word {
	return newWord(engine.Signature{Name: "playbook", Params: []engine.Param{
		{Name: "doc", Kind: "text", Required: true}, {Name: "declare", Kind: "handler", Required: true}, {Name: "params", Kind: "dict"},
	}})
}

// playbookWord is playbook(doc, declare, params). It declares nothing by itself.
func playbookWord(thread *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	d, err := declaring(thread, playbookSignature(), args, kwargs)
	if err != nil {
		return nil, err
	}
	if d == nil {
		return &playbookValue{declare: starlark.NewBuiltin("declare", nil), broken: true}, nil
	}
	p := &playbookValue{doc: d.text("doc", ""), params: d.params()}
	declare, ok := d.bound["declare"].(*starlark.Function)
	if !ok {
		d.wrong("declare", engine.Errorf(engine.Invalid, "got %s, want a def: declare(p)", describe(d.bound["declare"])))
	} else if why := accepts(declare, []string{"p"}, nil); why != "" {
		d.wrong("declare", engine.Errorf(engine.Invalid, "%s", why))
	}
	p.declare, p.broken = declare, d.failed
	if !ok {
		p.declare = starlark.NewBuiltin("declare", nil)
	}
	return p, nil
}

// paramNames are keys in larkspur.yaml and attributes in scripts.
var paramNames = regexp.MustCompile(`^[a-z][a-z0-9_]{0,59}$`)

func (d *declaration) params() (list []namedParam) {
	v, given := d.bound["params"]
	if !given {
		return nil
	}
	dict, ok := v.(starlark.IterableMapping)
	if !ok {
		d.wrong("params", engine.Errorf(engine.Invalid, `got %s, want a dict like {"url": param.url()}`, describe(v)))
		return nil
	}
	for _, item := range dict.Items() {
		name, _ := starlark.AsString(item[0])
		param, ok := item[1].(*paramValue)
		switch {
		case name == "name":
			d.wrong("params", engine.Errorf(engine.Invalid, "every playbook has a name already"))
		case !paramNames.MatchString(name):
			d.wrong("params", engine.Errorf(engine.Invalid, "got the name %s, want small letters, digits and _", describe(item[0])))
		case !ok:
			d.wrong("params", engine.Errorf(engine.Invalid, "%s: got %s, want one of param.text(), param.url() …", name, describe(item[1])))
		default:
			list = append(list, namedParam{name, param})
		}
	}
	return list
}

// playbooksFile is the name under which the playbooks block of larkspur.yaml
// belongs to a bundle: a list of {playbook: {param: value}}.
const playbooksFile = "larkspur.yaml#playbooks"

// switchOn declares what the playbooks block asks for, once all files have been
// executed.
func (l *loader) switchOn() {
	l.listPlaybooks()
	text, ok := l.files[playbooksFile]
	if !ok {
		return
	}
	block, err := engine.Data(text).Value()
	entries, isList := block.([]engine.Value)
	if err != nil || !isList {
		l.report(l.placeOf(""), "playbooks", engine.Errorf(engine.Invalid, "playbooks: want a list of playbooks with their parameters"))
		return
	}
	names := map[string]bool{}
	for i, e := range entries {
		one, _ := e.(map[string]engine.Value)
		for playbook, values := range one {
			u := &instance{loader: l, path: strconv.Itoa(i), playbook: playbook, names: names}
			u.values, _ = values.(map[string]engine.Value)
			u.switchOn()
		}
	}
}

// placeOf is where a part of the block stands: "0", "0.url".
func (l *loader) placeOf(path string) engine.Position {
	if at, ok := l.places[path]; ok {
		return at
	}
	return engine.Position{File: "larkspur.yaml", Line: 1, Col: 1}
}

// instance is one entry of the block.
type instance struct {
	*loader
	path     string // its number
	playbook string
	values   map[string]engine.Value
	names    map[string]bool // of the instances before
	failed   bool
}

func (u *instance) wrong(key string, err error) {
	u.failed = true
	path := u.path
	where := u.playbook
	if key != "" {
		path, where = path+"."+key, where+"."+key
	}
	at, ok := u.places[path]
	if !ok {
		at = u.placeOf(u.path)
	}
	u.report(at, "playbooks", wrongArgument("playbooks."+where, "", err))
}

func (u *instance) switchOn() {
	p, err := u.find(u.playbook)
	if err != nil {
		u.wrong("", err)
		return
	}
	if p == nil || p.broken {
		return // its problem is reported
	}
	fields := u.fields(p)
	if u.failed {
		return
	}
	s := pure.NewStruct("playbook", fields)
	s.Freeze()
	u.mailed(p)
	rules, jobs := len(u.bundle.declarations.Rules), len(u.bundle.declarations.Jobs)
	before := len(u.problems)
	if err := u.call(p.declare, s); err != nil {
		e := scriptError(err)
		u.wrong("", engine.Errorf(engine.Script, "%s: %s", e.At, e.Message).WithHint("%s", e.Hint))
	} else if len(u.bundle.declarations.Rules) == rules && len(u.bundle.declarations.Jobs) == jobs && len(u.problems) == before {
		u.add(problemAt(u.placeOf(u.path), "warning", "playbooks", "playbooks."+u.playbook+": it declares no rule and no job", ""))
	}
}

// mailed warns that a shipped playbook writes to people, and no mail can be sent. Of
// the workspace's own, check warns where they stand.
func (u *instance) mailed(p *playbookValue) {
	declare, ok := p.declare.(*starlark.Function)
	if !ok {
		return
	}
	m := u.bundle.modules[scriptPath(declare.Position().Filename())]
	if m == nil || m.file.syntax == nil || !m.file.isLibrary() || !writes(m.file.syntax) {
		return
	}
	if hint := u.noMail(); hint != "" {
		u.add(problemAt(u.placeOf(u.path), "warning", mailCheck, "playbooks."+u.playbook+": it writes to people, and there is no mail connection", hint))
	}
}

// fields are what the playbook's declare sees as p.
func (u *instance) fields(p *playbookValue) starlark.StringDict {
	fields := starlark.StringDict{"name": starlark.String(u.name())}
	in := paramContext{names: u.bundle.names, zone: u.bundle.zone}
	known := []string{"name"}
	for _, param := range p.params {
		known = append(known, param.name)
		v, given := u.values[param.name]
		switch {
		case given && v != nil:
		case param.Optional && param.fallback == nil:
			fields[param.name] = starlark.None
			continue
		case param.Optional:
			v = param.fallback
		default:
			u.wrong("", engine.Errorf(engine.Invalid, "missing: %s", param.name).WithHint("%s", param.Doc))
			continue
		}
		value, err := param.read(v, in)
		if err == nil {
			fields[param.name], err = u.converter.fromValue(value)
		}
		if err != nil {
			u.wrong(param.name, err)
		}
	}
	for _, key := range sortedKeys(u.values) {
		if !slices.Contains(known, key) {
			u.wrong(key, engine.Errorf(engine.Invalid, "the playbook has no such parameter").WithHint("%s", didYouMean(key, known)))
		}
	}
	return fields
}

// name reads the instance's own name, which tells it from the others.
func (u *instance) name() string {
	name, _ := u.values["name"].(string)
	switch {
	case u.values["name"] == nil:
		u.wrong("", engine.Errorf(engine.Invalid, "missing: name").WithHint("each playbook that is switched on has a name of its own, such as name: blog"))
	case !namePattern.MatchString(name):
		u.wrong("name", notA(u.values["name"], "small letters, digits and -"))
	case u.names[name]:
		u.wrong("name", engine.Errorf(engine.Conflict, "%q is switched on already", name).WithHint("each has a name of its own"))
	}
	u.names[name] = true
	return name
}

// find finds a playbook by the name that the block says: of the shipped library,
// else file.star:name. nil without an error is one whose file has problems.
func (l *loader) find(name string) (*playbookValue, error) {
	file, global, named := strings.Cut(name, ":")
	if named {
		m := l.bundle.modules[scriptPath(file)]
		if m == nil {
			return nil, engine.Errorf(engine.NotFound, "there is no file %s", file).WithHint("paths are from scripts/: file.star:name")
		}
		if p, ok := m.globals[global].(*playbookValue); ok {
			return p, nil
		}
		if m.state == broken {
			return nil, nil
		}
	} else {
		for path, m := range l.bundle.modules {
			if p, ok := m.globals[name].(*playbookValue); ok && strings.HasPrefix(path, libraryPrefix) {
				return p, nil
			}
		}
	}
	var known []string
	for _, p := range l.bundle.declarations.Playbooks {
		known = append(known, p.Name)
	}
	return nil, engine.Errorf(engine.NotFound, "there is no such playbook").WithHint("%s", didYouMean(name, known))
}

// listPlaybooks lists what can be switched on, under the names of the block.
func (l *loader) listPlaybooks() {
	for _, path := range sortedKeys(l.bundle.modules) {
		m := l.bundle.modules[path]
		for _, global := range sortedKeys(m.globals) {
			p, ok := m.globals[global].(*playbookValue)
			if !ok || p.broken || m.file.isTest() {
				continue
			}
			name := global
			if !m.file.isLibrary() {
				name = path + ":" + global
			}
			l.bundle.declarations.Playbooks = append(l.bundle.declarations.Playbooks, p.listed(name))
		}
	}
}

func (p *playbookValue) listed(name string) engine.Playbook {
	out := engine.Playbook{Name: name, Doc: p.doc}
	for _, param := range p.params {
		one := param.PlaybookParam
		one.Name = param.name
		out.Params = append(out.Params, one)
	}
	return out
}
