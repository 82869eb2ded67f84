package engine

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Handler names what may run later: a top-level function of a bundle. File is a
// path from scripts/, or "@larkspur//x.star" for the shipped library.
type Handler struct {
	File string `json:"file"`
	Name string `json:"name"`
}

// Position is a place in a script or a configuration file, counted from 1.
type Position struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Col  int    `json:"col"`
}

// Problem is one finding of `larkspur check`: what, where, and what to do.
type Problem struct {
	File     string `json:"file"`
	Line     int    `json:"line"`
	Col      int    `json:"col"`
	Severity string `json:"severity"` // error or warning
	Check    string `json:"check"`    // which check found it: syntax, undefined, argument, unknown-key, …
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"`
}

// Test is a test function of a *_test.star file.
type Test struct {
	Name string `json:"name"`
	File string `json:"file"` // from the workspace's root
	Line int    `json:"line"`
}

// IsTestFile says whether a path is that of a script that holds tests.
func IsTestFile(path string) bool { return strings.HasSuffix(path, "_test.star") }

// Bundle is all scripts of one moment, with the shipped library, the rules and
// the `playbooks` block. Immutable.
type Bundle struct {
	// Hash is the hex SHA-256 over the sorted pairs of path and file hash.
	Hash string `json:"hash"`
	// Commit is the git commit of the workspace, or empty.
	Commit string `json:"commit,omitempty"`
	// Files maps paths from the workspace's root ("scripts/netflix.star",
	// "@larkspur//outbox.star") to contents.
	Files map[string]string `json:"files"`
}

// Trigger is one `on.x(…)`: the kind of event it takes and the declarative
// filter that rules applies to it. Args holds the arguments by name; Where is
// set when a `where` function must be asked in the worker.
type Trigger struct {
	Kind  string            `json:"kind"` // dns, webhook, …
	Args  Data              `json:"args"` // a dict
	Match map[string]string `json:"match,omitempty"`
	Where bool              `json:"where,omitempty"`
	At    Position          `json:"at"`
}

// Rule says when a playbook runs. See LANGUAGE section 1.
type Rule struct {
	Name     string    `json:"name"`
	When     []Trigger `json:"when"`
	Do       Handler   `json:"do"`
	Args     Data      `json:"args"`
	Title    string    `json:"title"`
	Severity string    `json:"severity"`
	Type     string    `json:"type"`
	Team     string    `json:"team,omitempty"`
	Visible  string    `json:"visible,omitempty"`
	// Dedup: nil with DedupSet false: every match opens an incident; an empty
	// list: one open incident for the rule; fields: one for each combination.
	// DedupFunc: the worker is asked for the key.
	Dedup     []string      `json:"dedup,omitempty"`
	DedupSet  bool          `json:"dedup_set,omitempty"`
	DedupFunc bool          `json:"dedup_func,omitempty"`
	OnAttach  *Handler      `json:"on_attach,omitempty"`
	Quiet     time.Duration `json:"quiet,omitempty"`
	// Throttle: at most ThrottleCount new incidents in ThrottleSpan.
	ThrottleCount int           `json:"throttle_count,omitempty"`
	ThrottleSpan  time.Duration `json:"throttle_span,omitempty"`
	// MaxChangesCount effects in MaxChangesSpan, then a person is asked.
	MaxChangesCount int                      `json:"max_changes_count,omitempty"`
	MaxChangesSpan  time.Duration            `json:"max_changes_span,omitempty"`
	SLA             map[string]time.Duration `json:"sla,omitempty"`
	Hours           string                   `json:"hours,omitempty"`
	OnBreach        *Handler                 `json:"on_breach,omitempty"`
	Saves           time.Duration            `json:"saves,omitempty"`
	OnFailure       string                   `json:"on_failure,omitempty"` // keep or undo
	Mode            string                   `json:"mode"`                 // live, shadow, off
	At              Position                 `json:"at"`
}

// Job is a schedule that starts a playbook. See LANGUAGE section 1.
type Job struct {
	Name    string        `json:"name"`
	Every   time.Duration `json:"every,omitempty"`
	Cron    string        `json:"cron,omitempty"`
	Zone    string        `json:"tz,omitempty"`
	Do      Handler       `json:"do"`
	Args    Data          `json:"args"`
	Overlap bool          `json:"overlap,omitempty"`
	Jitter  time.Duration `json:"jitter,omitempty"`
	CatchUp bool          `json:"catch_up,omitempty"`
	Mode    string        `json:"mode"`
	At      Position      `json:"at"`
}

// Playbook is a playbook with parameters that larkspur.yaml can switch on.
type Playbook struct {
	Name   string          `json:"name"` // as the playbooks block says it: server_watch, or file.star:name
	Doc    string          `json:"doc"`
	Params []PlaybookParam `json:"params,omitempty"`
}

// PlaybookParam is one of its parameters; `name` is not among them.
type PlaybookParam struct {
	Name     string         `json:"name"`
	Kind     string         `json:"kind"` // text, url, connection, …
	Doc      string         `json:"doc,omitempty"`
	Optional bool           `json:"optional,omitempty"` // it may be left out: Default
	Default  Data           `json:"default,omitempty"`
	Section  string         `json:"section,omitempty"` // of a connection: ssh, unifi, …
	Choices  []string       `json:"choices,omitempty"` // of a choice
	Of       *PlaybookParam `json:"of,omitempty"`      // of many
}

// Declarations is what a bundle declares at its top level, and by the playbooks
// that are switched on.
type Declarations struct {
	Rules     []Rule     `json:"rules,omitempty"`
	Jobs      []Job      `json:"jobs,omitempty"`
	Playbooks []Playbook `json:"playbooks,omitempty"`
	Problems  []Problem  `json:"problems,omitempty"`
}

// Class says what a step may do to the world and so how it is recorded. See
// DESIGN section 2.
type Class string

// The classes.
const (
	Pure       Class = "pure"       // not recorded
	Read       Class = "read"       // recorded, repeatable
	Repeatable Class = "repeatable" // an effect with an idempotency key
	Once       Class = "once"       // an effect that is never repeated silently
)

// Param is one parameter of a builtin.
type Param struct {
	Name     string `json:"name"`
	Doc      string `json:"doc,omitempty"`
	Required bool   `json:"required,omitempty"`
	// Kind is what the argument must be: any, text, int, number, bool, duration,
	// time, list, dict, secret, connection, person, mac, …; several separated by "|".
	Kind    string `json:"kind"`
	Default Data   `json:"default,omitempty"`
}

// KindKeywords is the kind of a parameter that takes all keywords that no other
// parameter has, as a dict.
const KindKeywords = "keywords"

// Signature describes one builtin to the worker, which unpacks arguments with
// it, to `check` and to `larkspur doc`.
type Signature struct {
	Name string `json:"name"` // "unifi.block"
	Doc  string `json:"doc"`
	// Params in order. The first Positional of them may be given by position,
	// the others by keyword alone.
	Params     []Param `json:"params"`
	Positional int     `json:"positional"`
	// Connection names the section of `connections` whose entry the first
	// positional argument names; left out where there is one or a "default".
	Connection string `json:"connection,omitempty"`
	Class      Class  `json:"class"`
	// EffectParam is set when `effect = "read" | "repeatable" | "once"` may
	// override Class.
	EffectParam bool `json:"effect_param,omitempty"`
	// Change is set when the call can be taken back: it accepts `expires`, `why`.
	Change bool `json:"change,omitempty"`
	// Inverse names the builtin that takes it back, with the same arguments
	// unless the call's result says otherwise.
	Inverse string `json:"inverse,omitempty"`
	Version int    `json:"version"`
	// Internal builtins are called by the shipped library only.
	Internal bool `json:"internal,omitempty"`
	// Result describes the result's attributes for `larkspur doc`; Type is the
	// name of its struct ("http.response"), empty where it is none.
	Result string `json:"result,omitempty"`
	Type   string `json:"type,omitempty"`
}

// ConnectionParam is the name of the parameter that names the connection, "" for
// a builtin without connections.
func (s Signature) ConnectionParam() string {
	for _, p := range s.Params {
		if p.Kind == "connection" {
			return p.Name // "host" of ssh
		}
	}
	if s.Connection == "" {
		return ""
	}
	return "connection"
}

// Attributes returns the names of the result's attributes, methods aside; none
// where the result is no struct.
func (s Signature) Attributes() []string {
	var names []string
	attributes, _, _ := strings.Cut(s.Result, ";") // "…; or None"
	for _, name := range strings.Split(remarks.ReplaceAllString(attributes, ""), ",") {
		if name = strings.TrimSpace(name); name != "" && !strings.ContainsAny(name, " (") {
			names = append(names, name)
		}
	}
	return names
}

// remarks of a signature's result: "id (the Message-ID)".
var remarks = regexp.MustCompile(` \([^)]*\)`)

// EmptyResult is what an effect that is not performed returns: its struct, with
// all attributes nil; nil where the result is no struct.
func (s Signature) EmptyResult() Value {
	names := s.Attributes()
	if len(names) == 0 {
		return nil
	}
	fields := make(map[string]Value, len(names))
	for _, name := range names {
		fields[name] = nil
	}
	return Struct{Type: s.Type, Fields: fields}
}

// String returns file:line:col.
func (p Position) String() string {
	return p.File + ":" + strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Col)
}
