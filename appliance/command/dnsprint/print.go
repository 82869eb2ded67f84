// Package dnsprint is the command larkspur dns: it prints DNS messages as JSON
// lines.
//
// Standard output gets the lines and nothing else. Standard error gets problems,
// and as its last line how many messages could not be decoded, by reason; with
// --stats that line is all counters as JSON.
package dnsprint

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"larkspur/engine/capture"
)

// Options are the choices of Print.
type Options struct {
	Stats bool     // print all counters as JSON
	Ports []uint16 // of DNS; nil: 53, 5353, 5355
}

// Print writes the messages of src to w, a line each, until src ends, ctx ends or
// nobody reads w any more; these three are no errors. It reports on errw, ends
// that with the counters, and returns the error that it reported.
func Print(ctx context.Context, w, errw io.Writer, src capture.Source, opts Options) error {
	return PrintMessages(ctx, w, errw, capture.NewReader(src, opts.Ports...), opts)
}

// Messages are what is printed: those of a *capture.Reader or a *feed.File.
type Messages interface {
	Next(ctx context.Context) (*capture.Message, error)
	Stats() capture.Stats
	// Reject counts the last message among the undecodable ones.
	Reject()
}

// PrintMessages is Print for messages from elsewhere.
func PrintMessages(ctx context.Context, w, errw io.Writer, r Messages, opts Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := newOutput(w, cancel)
	lookups := capture.NewLookups()
	err := printAll(ctx, out, r, lookups)
	if outErr := out.close(); outErr != nil {
		err = outErr
	}
	if err != nil {
		report(errw, err)
	}
	stats, pairing := r.Stats(), lookups.Stats()
	stats.Pairing = &pairing
	summary := summarise(stats)
	if opts.Stats {
		summary, _ = json.Marshal(stats) // maps and numbers cannot fail
	}
	fmt.Fprintf(errw, "%s\n", summary)
	return err
}

// printAll prints until there is nothing more.
func printAll(ctx context.Context, out *output, r Messages, lookups *capture.Lookups) error {
	var f formatter
	for {
		m, err := r.Next(ctx)
		if err == io.EOF || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		line, err := f.format(m, lookups.Pair)
		if err != nil {
			r.Reject()
			continue
		}
		out.write(line)
	}
}

// summarise says in one line what was printed and what was not.
func summarise(s capture.Stats) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "larkspur dns: %d messages, %d undecodable%s", s.Messages, total(s.Undecodable), byReason(s.Undecodable))
	lost := map[string]uint64{}
	maps.Copy(lost, s.Lost)
	if s.Source.KernelDropped > 0 {
		lost["kernel"] = s.Source.KernelDropped
	}
	if len(lost) > 0 {
		fmt.Fprintf(&b, ", %d lost%s", total(lost), byReason(lost))
	}
	return []byte(b.String())
}

func total(counters map[string]uint64) (n uint64) {
	for _, c := range counters {
		n += c
	}
	return n
}

func byReason(counters map[string]uint64) string {
	if len(counters) == 0 {
		return ""
	}
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(counters)) {
		parts = append(parts, fmt.Sprintf("%s: %d", reason, counters[reason]))
	}
	return " (" + strings.Join(parts, ", ") + ")"
}
