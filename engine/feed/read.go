package feed

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"larkspur/engine"
	"larkspur/engine/capture"
)

// Dnstap is the kind of dnstap files, besides those of logs.
const Dnstap = "dnstap"

// Kinds are the kinds of files that Read knows.
var Kinds = []string{Passivedns, Dnstap, Dnsmasq, Unbound, Bind, Adguard}

const (
	// headBytes is by how much of a file its kind is recognised.
	headBytes = 16 << 10
	// maxWindow bounds what a zstd file may ask us to keep in memory.
	maxWindow = 64 << 20
)

var (
	magicGzip = []byte{0x1f, 0x8b}
	magicZstd = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// Decompress returns what a reader holds, without the compression of gzip or zstd
// if there is one; close releases the decompressor.
func Decompress(in *bufio.Reader) (out *bufio.Reader, close func(), err error) {
	head, _ := in.Peek(len(magicZstd)) // less is there, or reading tells
	switch {
	case bytes.HasPrefix(head, magicGzip):
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, nil, engine.Errorf(engine.Invalid, "gzip header: %w", err)
		}
		return bufio.NewReaderSize(z, headBytes), func() { z.Close() }, nil
	case bytes.HasPrefix(head, magicZstd):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, engine.Errorf(engine.Invalid, "zstd header: %w", err)
		}
		return bufio.NewReaderSize(z, headBytes), z.Close, nil
	}
	return in, func() {}, nil
}

// Recognise tells the kind of a file by how it begins, "" for none of Kinds. Half a
// line at the end of head does no harm.
func Recognise(head []byte) string {
	s := frameStream{in: bufio.NewReader(bytes.NewReader(head))}
	if kind, types, err := s.control(); err == nil && kind == controlStart && len(types) > 0 && announces(types) {
		return Dnstap
	}
	for line := range bytes.Lines(head) {
		if kind := recogniseLine(line); kind != "" {
			return kind
		}
	}
	return ""
}

// recogniseLine tells of which log a line is.
func recogniseLine(line []byte) string {
	has := func(text string) bool { return bytes.Contains(line, []byte(text)) }
	switch object := len(line) > 0 && line[0] == '{'; {
	case object && has(`"QH":`) && has(`"T":`):
		return Adguard
	case object && has(`"query":`) && has(`"answer":`) && has(`"client":`) && (has(`"timestamp_s":`) || has(`"timestamp":`)):
		return Passivedns
	case object:
		return ""
	case bytes.Count(line, []byte("||")) >= 3:
		return Passivedns
	case has("dnsmasq[") || has("dnsmasq: "):
		return Dnsmasq
	case has("unbound[") || has("unbound: ["):
		return Unbound
	case has("client ") && has(": query: "):
		return Bind
	}
	return ""
}

// File gives the messages of a file from its beginning to its end.
type File struct {
	maker
	name   string
	in     *bufio.Reader
	frames *frameStream // of dnstap
	taps   taps
	buf    []byte
	frame  capture.Message
	done   bool
	last   bool // the last message was a response
}

// Read reads messages from a file of the kind of f; name stands in errors. Compressed
// files are to be decompressed before. Of dnstap, messages names Families; none are
// DefaultFamilies.
func Read(name string, in *bufio.Reader, f Format, messages ...string) (*File, error) {
	x := &File{name: name, in: in}
	if f.Kind == Dnstap {
		t, err := newTaps(messages)
		if err != nil {
			return nil, err
		}
		x.taps, x.frames = t, &frameStream{in: in}
		if err := x.frames.open(); err != nil {
			return nil, x.fail(err)
		}
		return x, nil
	}
	p, err := f.parser()
	x.parser = p
	return x, err
}

func (x *File) fail(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return engine.Errorf(engine.Invalid, "%s: %w", x.name, capture.ErrTruncated).WithHint("the messages before this point were read")
	}
	return engine.Errorf(engine.Invalid, "%s: %w", x.name, err)
}

// Next returns the next message; it is valid until the following call. At the end
// of the file it returns io.EOF; another error is final and comes after all
// messages before that point.
func (x *File) Next(ctx context.Context) (*capture.Message, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		m, err := x.step()
		if m != nil {
			x.last = m.Response()
		}
		if m != nil || err != nil {
			return m, err
		}
	}
}

// Reject counts the message that Next returned last among the undecodable ones, and
// no longer among the messages.
func (x *File) Reject() {
	x.untake(x.last)
	x.drop(badMessage, 1)
}

// step reads a frame or a line; nil means that it gave nothing.
func (x *File) step() (*capture.Message, error) {
	if x.frames == nil {
		return x.stepLine()
	}
	buf, err := x.frames.next(x.buf[:0])
	x.buf = buf
	switch {
	case err == io.EOF:
		return nil, io.EOF
	case err != nil:
		x.drop(HalfLine, 1)
		return nil, x.fail(err)
	}
	x.taken(len(buf))
	return x.taps.make(buf, &x.frame, &x.counts), nil
}

func (x *File) stepLine() (*capture.Message, error) {
	if m := x.pop(); m != nil {
		return m, nil
	}
	if x.done {
		return nil, io.EOF
	}
	line, err := x.readLine()
	switch {
	case err == errTooLong:
		x.drop(TooLong, 1)
	case err == io.EOF:
		x.done = true
		x.flush()
	case err != nil:
		return nil, x.fail(err)
	default:
		x.take(line)
	}
	return nil, nil
}

// readLine returns the next line without its end. The last one needs no end.
func (x *File) readLine() ([]byte, error) {
	x.buf = x.buf[:0]
	over := false
	for {
		part, err := x.in.ReadSlice('\n')
		if over = over || len(x.buf)+len(part) > maxLine; !over {
			x.buf = append(x.buf, part...)
		}
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case err == io.EOF && len(part) == 0 && len(x.buf) == 0 && !over:
			return nil, io.EOF
		case err != nil && err != io.EOF:
			return nil, err
		case over:
			return nil, errTooLong
		}
		x.taken(len(x.buf))
		return bytes.TrimRight(x.buf, "\r\n"), nil
	}
}

// Close does nothing: the reader belongs to the caller.
func (x *File) Close() error { return nil }
