// Package command is the command line: one table, one small function a command.
//
// What a program reads goes to standard output, what a person should know to
// standard error. Exit codes: 0 fine, 1 problems found, 2 wrong usage.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"larkspur/appliance"
	"larkspur/appliance/command/dnsprint"
	"larkspur/engine"
)

// Exit codes.
const (
	exitFine     = 0
	exitProblems = 1
	exitUsage    = 2
)

// call is one use of a command.
type call struct {
	ctx            context.Context
	args           []string
	stdin          io.Reader
	stdout, stderr io.Writer
	options        string // of the command, for --help
	worker         string // its executable; this very program by default
}

type command struct {
	name, args, does string
	run              func(*call) error
}

// commands is the one table.
func commands() []command {
	return []command{
		{"init", "DIR", "make a workspace that runs at once", runInit},
		{"serve", "[DIR]", "the appliance: engine, sensors, web page, API", runServe},
		{"demo", "", "the whole story in a browser, with simulated devices; nothing to set up", runDemo},
		{"check", "[DIR]", "every problem of a workspace, as file:line:col: message; --json", runCheck},
		{"test", "[DIR]", "run the tests of a workspace (scripts/**/*_test.star); -run REGEXP, --json, --cover", runTest},
		{"replay", "[DIR] FILE…", "captures, logs of resolvers, dnstap or events (- reads standard input) against the rules, offline; --json, --run, --answers FILE", runReplay},
		{"dns", "FILE | -i IFACE", "print DNS messages as JSON lines", nil},
		{"incidents", "[list | show ID | close ID | reopen ID | assign ID WHO | escalate ID SEVERITY | set ID NAME=VALUE … | note ID TEXT]", "incidents of a running appliance", runIncidents},
		{"runs", "[list | show ID | restart ID STEP | undo ID | resolve ID STEP]", "runs and their steps", runRuns},
		{"pause", "[--reason TEXT]", "the brake: hold every effect of every playbook", runPause},
		{"resume", "[--reason TEXT]", "let the brake go: what it held is done", runResume},
		{"clock", "[show | accept]", "whether timers wait because the clock jumped; accept takes what it says for the time, --reason TEXT", runClock},
		{"questions", "[list | show ID | answer ID [CHOICE]]", "what people are asked; answer takes --choice, --field NAME=VALUE, --file NAME=PATH, --reason", runQuestions},
		{"mails", "[list]", "mails that the mail server did not take yet, and when they are tried again", runMails},
		{"changes", "[list | undo ID]", "changes in force", runChanges},
		{"devices", "[list | revoke ID]", "paired browsers: who may answer from where; --reason TEXT", runDevices},
		{"rules", "[list] | run JOB", "rules, their hits and errors, jobs and when they fire next; run starts a job now", runRules},
		{"history", "[list | name NAME | ip ADDRESS | client ADDRESS | target NAME | export | import FILE]", "what the sensors saw: newest domains, names, what they led to, who asked; the passive DNS common output format", runHistory},
		{"audit", "export | verify FILE --key KEY | key | rotate-key | checkpoint", "the ledger for auditors; verify needs no appliance", runAudit},
		{"erase", "list | incident ID --because TEXT | person ADDRESS --because TEXT", "what is held of an incident or a person, for ever; --dry-run tells what would go", runErase},
		{"login", "[PERSON]", "print a one-time sign-in link", runLogin},
		{"scrub", "[DIR]", "look for damage in every file and record of the state folder; the appliance may run", runScrub},
		{"rebuild", "[DIR]", "make all projections anew from the ledger, while the appliance goes on if it runs", runRebuild},
		{"rollback", "[list | to NAME | remove NAME]", "the store as it was before an upgrade; to NAME puts it back, --yes", runRollback},
		{"doc", "[NAME]", "reference of every builtin", runDoc},
		{"version", "", "print the version", runVersion},
	}
}

// usageError is wrong usage: exit code 2.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// errProblems says that problems were found and are told already.
var errProblems = errors.New("problems found")

// Main runs the program and returns its exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		if code, ours := hidden(args, stderr); ours {
			return code
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return dispatch(&call{ctx: ctx, args: args, stdin: stdin, stdout: stdout, stderr: stderr})
}

func dispatch(c *call) int {
	if len(c.args) == 0 {
		printUsage(c.stderr)
		return exitUsage
	}
	name := c.args[0]
	c.args = c.args[1:]
	switch name {
	case "help", "-h", "-help", "--help":
		if len(c.args) == 0 {
			printUsage(c.stdout)
			return exitFine
		}
		name, c.args = c.args[0], []string{"--help"} // of one command
	case "-v", "-version", "--version":
		name = "version"
	}
	if name == "dns" {
		return dnsprint.Main(c.ctx, c.args, c.stdin, c.stdout, c.stderr)
	}
	for _, cmd := range commands() {
		if cmd.name == name {
			return c.exit(cmd, cmd.run(c))
		}
	}
	fmt.Fprintf(c.stderr, "larkspur: there is no command %q%s\nlarkspur help lists them\n", name, instead(name))
	return exitUsage
}

// exit reports what a command returned.
func (c *call) exit(cmd command, err error) int {
	var wrong usageError
	switch {
	case err == nil:
		return exitFine
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(c.stdout, "usage: larkspur %s\n\n%s\n%s", strings.TrimSpace(cmd.name+" "+cmd.args), cmd.does, c.options)
		return exitFine
	case errors.Is(err, errProblems):
		return exitProblems
	case errors.As(err, &wrong):
		fmt.Fprintf(c.stderr, "larkspur %s: %s\nusage: larkspur %s %s\n", cmd.name, wrong.text, cmd.name, cmd.args)
		return exitUsage
	}
	report(c.stderr, err)
	return exitProblems
}

// report tells a person what went wrong and what to do.
func report(w io.Writer, err error) {
	fmt.Fprintf(w, "larkspur: %v\n", err)
	if hint := engine.AsError(err).Hint; hint != "" {
		fmt.Fprintf(w, "  %s\n", hint)
	}
}

func printUsage(w io.Writer) {
	fmt.Fprintf(w, "Larkspur %s: a security-automation appliance in one binary.\n\n", appliance.Version)
	for _, cmd := range commands() {
		fmt.Fprintf(w, "  larkspur %s\n        %s\n", strings.TrimSpace(cmd.name+" "+cmd.args), cmd.does)
	}
	fmt.Fprint(w, "\nCommands that act on a running appliance speak to state/control.sock of the\nworkspace (-C DIR, default the present one) as administrator, or to LARKSPUR_URL\nwith LARKSPUR_TOKEN. --json prints what the API answers.\n")
}

// later are commands that come with later versions, and what does for now.
func later() map[string]string {
	return map[string]string{
		"fmt": "", "pause": "", "resume": "", "backup": "stop it and copy the state folder", "restore": "",
		"token": "name tokens in box.yaml under web.tokens",
	}
}

// instead says what to do about a command that there is not.
func instead(name string) string {
	if now, ok := later()[name]; ok {
		if now != "" {
			now = "; " + now
		}
		return ": it comes with a later version" + now
	}
	for _, cmd := range commands() {
		if len(name) > 2 && (strings.HasPrefix(cmd.name, name[:3]) || strings.HasPrefix(name, cmd.name)) {
			return "; did you mean " + cmd.name + "?"
		}
	}
	return ""
}

// flags parses options that may stand before and after arguments.
func (c *call) flags(define func(*flag.FlagSet)) ([]string, error) {
	set := flag.NewFlagSet("", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	if define != nil {
		define(set)
	}
	var rest []string
	args := c.args
	for {
		if err := set.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				c.options = optionsOf(set)
				return nil, err
			}
			return nil, wrongFlag(set, err)
		}
		if args = set.Args(); len(args) == 0 {
			return rest, nil
		}
		rest, args = append(rest, args[0]), args[1:]
	}
}

// wrongFlag says in our words what the flag package found.
func wrongFlag(set *flag.FlagSet, err error) error {
	text := err.Error()
	if name, unknown := strings.CutPrefix(text, "flag provided but not defined: "); unknown {
		var known []string
		set.VisitAll(func(f *flag.Flag) { known = append(known, dashes(f.Name)) })
		if len(known) == 0 {
			return usagef("there is no option %s; it takes none", dashes(strings.TrimLeft(name, "-")))
		}
		return usagef("there is no option %s; there is: %s", dashes(strings.TrimLeft(name, "-")), strings.Join(known, ", "))
	}
	return usagef("%s", strings.Replace(text, "flag needs an argument: ", "a value is wanted after ", 1))
}

func dashes(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// optionsOf lists a command's options, for --help.
func optionsOf(set *flag.FlagSet) string {
	text := ""
	set.VisitAll(func(f *flag.Flag) { text += fmt.Sprintf("\n  %-12s %s", dashes(f.Name), f.Usage) })
	if text == "" {
		return ""
	}
	return text + "\n"
}

// oneDir reads the optional workspace argument.
func oneDir(args []string) (string, error) {
	switch len(args) {
	case 0:
		return ".", nil
	case 1:
		return args[0], nil
	}
	return "", usagef("got %d arguments, want one folder", len(args))
}
