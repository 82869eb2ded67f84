package worker

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"larkspur/engine"
)

// Causes of errors of kind script.
const (
	causeFailed = "failed" // fail()
	causeLimit  = "limit"
)

// stop ends a call at once: no attempt catches it.
type stop struct {
	status string // of wire.Ended
	err    *engine.Error
	step   string // where it diverged
}

// Error is the sentence that the run's page shows.
func (s *stop) Error() string { return s.err.Message }

// Statuses of wire.Ended.
const (
	endedDone      = "done"
	endedFailed    = "failed"
	endedDiverged  = "diverged"
	endedCancelled = "cancelled"
)

// scriptError turns what the interpreter returned into what people and attempt
// see. The error of a step keeps its kind; everything else is of kind script.
func scriptError(err error) *engine.Error {
	var known *engine.Error
	var e engine.Error
	var stopped *stop
	switch {
	case errors.As(err, &stopped):
		e = *stopped.err
	case errors.As(err, &known):
		e = *engine.AsError(err) // with what was wrapped around it
	default:
		e = engine.Error{Kind: engine.Script, Message: err.Error()}
		if strings.Contains(e.Message, "maximum recursion depth") { // the interpreter's word on nested values
			e.Cause = causeLimit
		}
	}
	e.Message = cut(e.Message, maxMessageBytes)
	var eval *starlark.EvalError
	if errors.As(err, &eval) && e.At == "" {
		e.At = formatPosition(scriptPosition(eval.CallStack))
	}
	return &e
}

// asEvalError returns the interpreter's error behind an error, or nil.
func asEvalError(err error) *starlark.EvalError {
	var eval *starlark.EvalError
	if errors.As(err, &eval) {
		return eval
	}
	return nil
}

// uncaught says whether attempt must let an error pass: the run was stopped, or
// ended by fail().
func uncaught(err error) bool {
	var stopped *stop
	var known *engine.Error
	return errors.As(err, &stopped) || errors.As(err, &known) && known.Kind == engine.Script && known.Cause == causeFailed
}

// backtrace is the interpreter's, with the message last.
func backtrace(err error) string {
	var eval *starlark.EvalError
	if !errors.As(err, &eval) {
		return ""
	}
	return cut(eval.Backtrace(), maxBacktraceBytes)
}

// What a deep recursion says is bounded, and so is what anything else says.
const (
	maxBacktraceBytes = 8 << 10
	maxMessageBytes   = 4 << 10
)

// cut shortens text in its middle, where a backtrace repeats itself.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most/2], "") + "\n  …\n" + strings.ToValidUTF8(text[len(text)-most/2:], "")
}

// scriptPosition is where the innermost frame of a script stands.
func scriptPosition(stack starlark.CallStack) syntax.Position {
	for i := range stack {
		if pos := stack.At(i).Pos; pos.Line > 0 {
			return pos
		}
	}
	return syntax.Position{}
}

// here is the position of the innermost script frame of a running thread.
func here(thread *starlark.Thread) syntax.Position {
	for i := range thread.CallStackDepth() {
		if pos := thread.CallFrame(i).Pos; pos.Line > 0 {
			return pos
		}
	}
	return syntax.Position{}
}

// formatPosition writes file:line:col.
func formatPosition(pos syntax.Position) string {
	if pos.Line == 0 {
		return ""
	}
	return fmt.Sprintf("%s:%d:%d", pos.Filename(), pos.Line, pos.Col)
}

func enginePosition(pos syntax.Position) engine.Position {
	if pos.Line == 0 {
		return engine.Position{}
	}
	return engine.Position{File: pos.Filename(), Line: int(pos.Line), Col: int(pos.Col)}
}

// parsePosition reads what formatPosition wrote.
func parsePosition(at string) (engine.Position, bool) {
	rest, col, ok := cutLast(at)
	if !ok {
		return engine.Position{}, false
	}
	file, line, ok := cutLast(rest)
	return engine.Position{File: file, Line: line, Col: col}, ok
}

// cutLast cuts a number behind the last colon.
func cutLast(s string) (before string, n int, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", 0, false
	}
	n, err := strconv.Atoi(s[i+1:])
	return s[:i], n, err == nil
}

// problemAt makes a finding of check.
func problemAt(pos engine.Position, severity, check, message, hint string) engine.Problem {
	return engine.Problem{File: pos.File, Line: pos.Line, Col: pos.Col, Severity: severity, Check: check, Message: message, Hint: hint}
}

// asStop returns the stop behind an error, or nil.
func asStop(err error) *stop {
	var s *stop
	if errors.As(err, &s) {
		return s
	}
	return nil
}

func isStop(err error) bool { return asStop(err) != nil }
