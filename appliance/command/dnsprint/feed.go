package dnsprint

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"time"

	"larkspur/engine"
	"larkspur/engine/feed"
)

// headBytes is by how much of a file its kind is recognised.
const headBytes = 16 << 10

// openFeed opens a file that is no capture, as --format says or its beginning shows;
// kind is "" for any other. What comes by a pipe cannot be looked at before it is
// read.
func openFeed(set settings, stdin io.Reader) (in io.Reader, kind string) {
	in = stdin
	if set.device != "" {
		return nil, ""
	}
	if set.file != "-" {
		f, err := os.Open(set.file)
		if err != nil {
			return nil, "" // opening it as a capture tells
		}
		in = f
	}
	f, _ := in.(*os.File)
	if set.format == "" && f != nil {
		kind = recognise(f)
	}
	if kind == "" && set.format == "" {
		if set.file != "-" {
			f.Close()
		}
		return nil, ""
	}
	if set.format != "" {
		kind = set.format
	}
	return in, kind
}

// recognise tells the kind of a regular file, which may be compressed, and leaves it
// at its beginning.
func recognise(f *os.File) string {
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	head := make([]byte, 4*headBytes)
	n, _ := f.ReadAt(head, 0)
	in, done, err := feed.Decompress(bufio.NewReader(bytes.NewReader(head[:n])))
	if err != nil {
		return ""
	}
	defer done()
	n, _ = io.ReadFull(in, head[:headBytes]) // less is there, or it is cut
	return feed.Recognise(head[:n])
}

// printFeed prints what openFeed opened.
func printFeed(ctx context.Context, in io.Reader, kind string, set settings, stdout, stderr io.Writer) int {
	format := feed.Format{Kind: kind, Zone: time.Local}
	if f, is := in.(*os.File); is && set.file != "-" {
		defer f.Close()
		if info, err := f.Stat(); err == nil { // the year of logs that leave it out
			format.Now = info.ModTime
		}
	}
	plain, done, err := feed.Decompress(bufio.NewReader(in))
	if err != nil {
		report(stderr, engine.Errorf(engine.Invalid, "%q: %w", set.file, err))
		return exitProblems
	}
	defer done()
	file, err := feed.Read(set.file, plain, format)
	if err != nil {
		report(stderr, err)
		return exitProblems
	}
	if PrintMessages(ctx, stdout, stderr, file, set.opts) != nil {
		return exitProblems
	}
	return exitFine
}
