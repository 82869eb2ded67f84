package command

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"larkspur/appliance"
	"larkspur/appliance/config"
	"larkspur/appliance/workspace"
	"larkspur/engine"
	"larkspur/engine/sandbox"
	"larkspur/scripts"
	"larkspur/scripts/library"
	"larkspur/scripts/worker"
)

// workerDescriptor is where a worker finds its end of the socket pair.
const workerDescriptor = 3

// hidden runs the two commands by which the program starts itself as a worker.
func hidden(args []string, stderr io.Writer) (code int, ours bool) {
	var err error
	switch args[0] {
	case "worker-launch":
		err = sandbox.Launch(args[1:])
	case "worker":
		err = worker.Main(workerDescriptor)
	default:
		return 0, false
	}
	if err != nil {
		fmt.Fprintf(stderr, "larkspur: %v\n", err)
		return exitProblems, true
	}
	return exitFine, true
}

func runInit(c *call) error {
	args, err := c.flags(nil)
	if err != nil {
		return err
	}
	if len(args) != 1 {
		return usagef("got %d arguments, want the folder of the new workspace", len(args))
	}
	if err := workspace.Write(args[0]); err != nil {
		return err
	}
	_, err = fmt.Fprint(c.stdout, workspace.Next(args[0]))
	return err
}

func runServe(c *call) error {
	verbose := false
	args, err := c.flags(func(f *flag.FlagSet) { f.BoolVar(&verbose, "v", false, "log more") })
	if err != nil {
		return err
	}
	dir, err := oneDir(args)
	if err != nil {
		return err
	}
	logTo(c.stderr, slog.LevelInfo, verbose)
	boundMemory()
	a, err := appliance.Open(appliance.Config{Dir: dir, Out: c.stdout})
	if err != nil {
		return err
	}
	err = a.Run(c.ctx)
	if closed := a.Close(); err == nil {
		err = closed
	}
	return err
}

// memoryTarget is what the process tries to stay below, its worker aside: under a
// storm of events the store's compactions make much garbage.
const memoryTarget = 200 << 20

// boundMemory has garbage collected earlier as memory comes near to memoryTarget,
// unless GOMEMLIMIT says otherwise. It is no wall: what is needed is taken.
func boundMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryTarget)
	}
}

// logTo logs what is at least of a level, or, verbose, everything.
func logTo(w io.Writer, level slog.Level, verbose bool) {
	if verbose {
		level = slog.LevelDebug
	}
	slog.SetDefault(slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})))
}

func runCheck(c *call) error {
	asJSON := false
	args, err := c.flags(func(f *flag.FlagSet) { f.BoolVar(&asJSON, "json", false, "a line a problem") })
	if err != nil {
		return err
	}
	dir, err := oneDir(args)
	if err != nil {
		return err
	}
	var problems []engine.Problem
	err = c.withWorker(func(pool *sandbox.Pool) error {
		problems, err = config.Check(c.ctx, dir, library.Files(), pool)
		return err
	})
	if err != nil {
		return err
	}
	for _, p := range problems {
		if asJSON {
			if err := json.NewEncoder(c.stdout).Encode(p); err != nil {
				return err
			}
			continue
		}
		printProblem(c.stdout, dir, p)
	}
	if scripts.HasError(problems) {
		return errProblems
	}
	if !asJSON && len(problems) == 0 {
		fmt.Fprintln(c.stderr, "no problems")
	}
	return nil
}

func printProblem(w io.Writer, dir string, p engine.Problem) {
	kind := ""
	if p.Severity != "error" {
		kind = p.Severity + ": "
	}
	file := p.File
	if !strings.HasPrefix(file, library.Prefix) {
		file = filepath.Join(dir, file)
	}
	fmt.Fprintf(w, "%s:%d:%d: %s%s\n", file, p.Line, p.Col, kind, p.Message)
	if p.Hint != "" {
		fmt.Fprintf(w, "\t%s\n", p.Hint)
	}
}

func runVersion(c *call) error {
	_, err := fmt.Fprintf(c.stdout, "larkspur %s\n", appliance.Version)
	return err
}

// env is the environment that commands read.
func env(name string) string { return os.Getenv(name) }
