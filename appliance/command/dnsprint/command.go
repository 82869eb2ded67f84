package dnsprint

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"larkspur/engine"
	"larkspur/engine/capture"
	"larkspur/engine/feed"
)

// Exit codes of the command.
const (
	exitFine     = 0
	exitProblems = 1
	exitUsage    = 2
)

const usage = `usage: larkspur dns [--stats] [--port LIST] FILE
       larkspur dns [--stats] [--port LIST] -i INTERFACE

Prints DNS messages as JSON, one object a line, in the order in which they were
captured. FILE is a pcap or pcapng file, a dnstap file, or a log of passivedns,
dnsmasq (Pi-hole), Unbound, BIND or AdGuard Home, bare or compressed with gzip or
zstd; - reads standard input.

  -i INTERFACE   capture from a network interface, until interrupted; needs root
                 or CAP_NET_RAW
  --format KIND  what FILE holds, where it cannot be told (what comes by a pipe is
                 a capture): passivedns, dnstap, dnsmasq, unbound, bind, adguard;
                 times without a zone are of this machine's
  --json         JSON lines, the only format
  --port LIST    ports of DNS, separated by commas (53,5353,5355)
  --stats        print all counters as JSON on standard error at the end
`

// settings are what the command line asks for.
type settings struct {
	file, device string
	format       string // "" to recognise it
	opts         Options
}

// Main runs the dns command with the arguments that follow its name, and returns
// the exit code: 0 fine, 1 problems, 2 wrong usage.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	set, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return exitFine
	}
	if err != nil {
		fmt.Fprintf(stderr, "larkspur dns: %v\n\n%s", err, usage)
		return exitUsage
	}
	if in, kind := openFeed(set, stdin); kind != "" {
		return printFeed(ctx, in, kind, set, stdout, stderr)
	}
	src, err := open(ctx, set, stdin)
	if err != nil {
		if ctx.Err() != nil {
			return exitFine
		}
		report(stderr, err)
		return exitProblems
	}
	defer src.Close()
	if err := Print(ctx, stdout, stderr, src, set.opts); err != nil {
		return exitProblems
	}
	return exitFine
}

func open(ctx context.Context, set settings, stdin io.Reader) (capture.Source, error) {
	switch {
	case set.device != "":
		return capture.OpenLive(capture.LiveConfig{Interface: set.device, Ports: set.opts.Ports})
	case set.file == "-":
		return capture.NewFile(ctx, "standard input", stdin)
	}
	return capture.Open(ctx, set.file)
}

// parse reads the command line; flags may stand before and after the file.
func parse(args []string) (settings, error) {
	var set settings
	flags := flag.NewFlagSet("dns", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&set.device, "i", "", "")
	flags.BoolVar(&set.opts.Stats, "stats", false, "")
	flags.StringVar(&set.format, "format", "", "")
	asJSON := flags.Bool("json", true, "")
	flags.Func("port", "", func(list string) (err error) {
		set.opts.Ports, err = parsePorts(list)
		return err
	})
	files, err := interleaved(flags, args)
	switch {
	case err != nil:
		return set, err
	case set.format != "" && !slices.Contains(feed.Kinds, set.format):
		return set, fmt.Errorf("--format: got %q, want one of %s", set.format, strings.Join(feed.Kinds, ", "))
	case set.format != "" && set.device != "":
		return set, errors.New("--format is of files, not of interfaces")
	case !*asJSON:
		return set, errors.New("--json=false: JSON lines are the only format")
	case set.device != "" && len(files) > 0:
		return set, fmt.Errorf("got both -i %s and the file %q, want one of them", set.device, files[0])
	case set.device == "" && len(files) != 1:
		return set, fmt.Errorf("got %d files, want one file, - or -i INTERFACE", len(files))
	case set.device == "":
		set.file = files[0]
	}
	return set, nil
}

// interleaved parses flags that stand among the other arguments.
func interleaved(flags *flag.FlagSet, args []string) (others []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		rest := flags.Args()
		parsed := args[:len(args)-len(rest)]
		if len(rest) == 0 || (len(parsed) > 0 && parsed[len(parsed)-1] == "--") {
			return append(others, rest...), nil
		}
		others, args = append(others, rest[0]), rest[1:]
	}
}

func parsePorts(list string) ([]uint16, error) {
	var ports []uint16
	for text := range strings.SplitSeq(list, ",") {
		port, err := strconv.ParseUint(strings.TrimSpace(text), 10, 16)
		if err != nil || port == 0 {
			return nil, fmt.Errorf("got %q, want numbers from 1 to 65535, separated by commas", text)
		}
		ports = append(ports, uint16(port))
	}
	return ports, nil
}

// report prints an error and, on a line of its own, what to do about it.
func report(w io.Writer, err error) {
	fmt.Fprintf(w, "larkspur dns: %v\n", err)
	var known *engine.Error
	if errors.As(err, &known) && known.Hint != "" {
		fmt.Fprintf(w, "hint: %s\n", known.Hint)
	}
}
