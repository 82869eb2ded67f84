package ssh

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"larkspur/engine"
)

// doRun is ssh.run.
func (m *module) doRun(ctx context.Context, c *engine.Call) (engine.Result, error) {
	var sent atomic.Bool
	r, err := m.run(ctx, c, &sent)
	if err != nil {
		e := *engine.AsError(err)
		e.Maybe = sent.Load()
		return engine.Result{}, &e
	}
	return r, nil
}

func (m *module) run(ctx context.Context, c *engine.Call, sent *atomic.Bool) (engine.Result, error) {
	command, err := commandOf(c.Args["command"])
	if err != nil {
		return engine.Result{}, engine.WrapError(engine.Invalid, err, c.Name)
	}
	stdin, err := content(c.Args["stdin"])
	if err != nil {
		return engine.Result{}, engine.WrapError(engine.Invalid, err, c.Name+": stdin")
	}
	host, err := m.machine(c)
	if err != nil {
		return engine.Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Span("timeout", host.timeout))
	defer cancel()
	end, err := host.command(ctx, doing(c), command, stdin, sent)
	if err != nil {
		return engine.Result{}, err
	}
	return outcome(c, end)
}

// doing begins the sentences of a call's errors.
func doing(c *engine.Call) string { return c.Name + " " + c.Connection }

// content is an argument that is sent as it is.
func content(v engine.Value) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []byte(v), nil
	case engine.Bytes:
		return v, nil
	}
	return nil, engine.Errorf(engine.Invalid, "want a text or bytes")
}

// command runs a command on a connection to the host.
func (m *machine) command(ctx context.Context, doing, command string, stdin []byte, sent *atomic.Bool) (*ending, error) {
	var end *ending
	err := m.with(ctx, doing, func(l *link) (err error) {
		end, err = l.execute(ctx, command, stdin, sent)
		return err
	})
	switch {
	case errors.Is(err, errRefused):
		return nil, engine.Errorf(engine.Denied, "%s: the host refuses to run a command", doing)
	case err != nil:
		return nil, fault(err, doing)
	}
	return end, nil
}

// outcome turns a command's end into the call's result.
func outcome(c *engine.Call, end *ending) (engine.Result, error) {
	ended := end.exit != nil || end.signal != ""
	if c.Bool("hangup", false) && (!ended || slices.Contains(shutdownSignals(), end.signal)) {
		return result(end), nil
	}
	switch {
	case !ended && end.lost:
		return engine.Result{}, engine.Errorf(engine.Unavailable, "%s: the connection was lost while the command ran", doing(c)).WithCause("reset")
	case !ended:
		return engine.Result{}, engine.Errorf(engine.Unavailable, "%s: the host ended the session without saying how the command ended", doing(c)).WithCause("reset")
	case !c.Bool("check", true) || end.signal == "" && *end.exit == 0:
		return result(end), nil
	}
	how := "signal " + end.signal + " ended the command"
	if end.signal == "" {
		how = "the command ended with exit status " + strconv.FormatUint(uint64(*end.exit), 10)
	}
	if said := strings.TrimSpace(string(end.output.tail)); said != "" {
		how += ": " + said
	}
	return engine.Result{}, engine.Errorf(engine.Conflict, "%s: %s", doing(c), how).WithCause("status").
		WithHint("check = False makes any exit status a result")
}

// shutdownSignals end the command itself when its host goes down.
func shutdownSignals() []string { return []string{"TERM", "HUP", "KILL"} }

func result(end *ending) engine.Result {
	fields := map[string]engine.Value{
		"exit": nil, "signal": nil,
		"stdout": string(end.output.stdout), "stderr": string(end.output.stderr), "truncated": end.output.truncated,
	}
	switch {
	case end.signal != "":
		fields["signal"], fields["exit"] = end.signal, 128+signalNumber(end.signal)
	case end.exit != nil:
		fields["exit"] = int64(*end.exit)
	}
	return engine.Result{Value: engine.Struct{Type: resultType, Fields: fields}}
}

// signalName bounds what a host says.
func signalName(s string) string {
	if s = strings.TrimPrefix(s, "SIG"); signalForm.MatchString(s) {
		return s
	}
	return "unknown"
}

var signalForm = regexp.MustCompile(`^[A-Z0-9]{1,12}$`)

// signalNumber is what a shell adds to 128: those that RFC 4254 §6.10 names, with
// the numbers that POSIX gives them or that all systems have; 0 for others.
func signalNumber(name string) int64 {
	switch name {
	case "HUP":
		return 1
	case "INT":
		return 2
	case "QUIT":
		return 3
	case "ILL":
		return 4
	case "ABRT":
		return 6
	case "FPE":
		return 8
	case "KILL":
		return 9
	case "SEGV":
		return 11
	case "PIPE":
		return 13
	case "ALRM":
		return 14
	case "TERM":
		return 15
	}
	return 0
}

// bootCommand prints what a Linux kernel draws by lot when it starts.
const bootCommand = "cat /proc/sys/kernel/random/boot_id"

var bootForm = regexp.MustCompile(`^[0-9a-f-]{36}$`)

// boot asks a host for its boot id, "" where it has none.
func (m *machine) boot(ctx context.Context, doing string) (string, error) {
	var sent atomic.Bool
	end, err := m.command(ctx, doing, bootCommand, nil, &sent)
	if err != nil {
		return "", err
	}
	if end.lost {
		return "", engine.Errorf(engine.Unavailable, "%s: the connection was lost", doing).WithCause("reset")
	}
	if id := strings.TrimSpace(string(end.output.stdout)); bootForm.MatchString(id) {
		return id, nil
	}
	return "", nil
}

// beforeRun notes the host's boot id, with which probeRun compares.
func (m *module) beforeRun(ctx context.Context, c *engine.Call) (engine.Value, error) {
	if !c.Bool("hangup", false) {
		return nil, nil
	}
	host, err := m.machine(c)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Span("timeout", host.timeout))
	defer cancel()
	return host.boot(ctx, doing(c)+": boot id")
}

// probeRun asks whether a command that ends its host did: the host has started
// anew since. Of others nobody but a person can tell.
func (m *module) probeRun(ctx context.Context, c *engine.Call) (bool, engine.Result, error) {
	before, _ := c.Before.(string)
	switch {
	case !c.Bool("hangup", false):
		return false, engine.Result{}, engine.Errorf(engine.Invalid, "%s: nothing on the host tells whether a command ran", doing(c))
	case before == "":
		return false, engine.Result{}, engine.Errorf(engine.Invalid, "%s: the host had no boot id to compare with", doing(c))
	}
	host, err := m.machine(c)
	if err != nil {
		return false, engine.Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Span("timeout", host.timeout))
	defer cancel()
	now, err := host.boot(ctx, doing(c)+": boot id")
	switch {
	case err != nil:
		return false, engine.Result{}, err
	case now == "":
		return false, engine.Result{}, engine.Errorf(engine.Invalid, "%s: the host does not tell its boot id", doing(c))
	}
	return now != before, result(&ending{}), nil
}
