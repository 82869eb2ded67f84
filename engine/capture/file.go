package capture

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"larkspur/engine"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// sniffBuffer is how much is read before the format of a file is known.
	sniffBuffer = 64 << 10
	// maxZstdWindow bounds what a zstd file may ask us to keep in memory.
	maxZstdWindow = 64 << 20
)

// ErrTruncated is wrapped by the error of a file that ends within a packet: every
// complete packet before the cut has been returned.
var ErrTruncated = errors.New("the file ends too early")

// File reads frames from a capture file: pcap or pcapng, of either byte order,
// bare or compressed with gzip or zstd. Next gives them one by one; a Scan reads
// the same file by several workers.
type File struct {
	name     string
	in       *bufio.Reader // after decompression
	stop     interruptible
	closers  []func() error
	format   fileFormat
	counts   sourceCounts
	readSize int // bytes of a read, at most

	ctx     context.Context // of the fill under way
	chunk   *chunk          // of the fill under way
	rest    []byte          // what the last chunk could not use
	skip    int             // bytes that no chunk holds, still to be passed
	lacks   lack            // what the next record lacks
	offset  int64           // of chunk's first byte, after decompression
	packets int             // records before chunk, for error messages
	ended   error           // of in
	err     error           // final

	current *chunk // what Next gives
	next    int    // of its records
}

// fileFormat finds the records of one format.
type fileFormat interface {
	// split notes the frames that lie whole in b, from b.used on, which it leaves
	// behind the last whole record. File.lacks then says what the next one lacks.
	split(b *chunk) error
}

// Open opens a capture file. An error wraps fs.ErrNotExist, fs.ErrPermission or
// is of kind Invalid when the file is not a capture.
func Open(ctx context.Context, path string) (*File, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, openError(path, err)
	}
	f, err := NewFile(ctx, path, in)
	if err != nil {
		in.Close()
		return nil, err
	}
	f.closers = append(f.closers, in.Close)
	return f, nil
}

func openError(path string, err error) error {
	var cause *fs.PathError
	if errors.As(err, &cause) {
		err = cause.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return engine.Errorf(engine.NotFound, "capture %q: %w", path, err).
			WithHint("check the path; - reads standard input, -i captures from an interface")
	case errors.Is(err, fs.ErrPermission):
		return engine.Errorf(engine.Denied, "capture %q: %w", path, err).
			WithHint("run as a user who may read the file")
	}
	return engine.Errorf(engine.Unavailable, "capture %q: %w", path, err)
}

// NewFile reads a capture from r, which the caller closes; name stands in error
// messages. It reads the file's first bytes at once, so it waits for a pipe to
// deliver them, or for ctx to end.
func NewFile(ctx context.Context, name string, r io.Reader) (*File, error) {
	f := &File{name: name, ctx: ctx, current: newChunk(), readSize: fileBuffer}
	f.stop.prepare(r)
	f.in = bufio.NewReaderSize(readerFunc(func(p []byte) (int, error) { return f.stop.read(f.ctx, p) }), sniffBuffer)
	if err := f.open(); err != nil {
		f.Close()
		return nil, f.orEnded(err)
	}
	return f, nil
}

// orEnded returns the error of the context where it is the reason for err.
func (f *File) orEnded(err error) error {
	if ended := f.ctx.Err(); ended != nil && errors.Is(err, ended) {
		return ended
	}
	return err
}

type readerFunc func([]byte) (int, error)

func (r readerFunc) Read(p []byte) (int, error) { return r(p) }

var (
	magicGzip   = []byte{0x1f, 0x8b}
	magicZstd   = []byte{0x28, 0xb5, 0x2f, 0xfd}
	magicPcapNG = []byte{0x0a, 0x0d, 0x0d, 0x0a}
)

// open finds out the compression and the format by their magic numbers.
func (f *File) open() error {
	start, err := f.peekStart()
	if err != nil {
		return err
	}
	switch {
	case bytes.HasPrefix(start, magicGzip):
		unzip, err := gzip.NewReader(f.in)
		if err != nil {
			return f.fail("gzip header: %w", endOfData(err))
		}
		f.decompress(unzip, unzip.Close)
	case bytes.HasPrefix(start, magicZstd):
		unzip, err := zstd.NewReader(f.in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return f.fail("zstd header: %w", endOfData(err))
		}
		f.decompress(unzip, func() error { unzip.Close(); return nil })
	default:
		return f.openFormat(start)
	}
	if start, err = f.peekStart(); err != nil {
		return err
	}
	return f.openFormat(start)
}

func (f *File) decompress(r io.Reader, done func() error) {
	f.in = bufio.NewReaderSize(r, sniffBuffer)
	f.closers = append(f.closers, done)
}

func (f *File) peekStart() ([]byte, error) {
	start, err := f.in.Peek(4)
	if err == nil {
		return start, nil
	}
	if err != io.EOF {
		return nil, f.fail("%w", endOfData(err))
	}
	if len(start) == 0 {
		return nil, notCapture(f.name, "the file is empty")
	}
	return nil, notCapture(f.name, fmt.Sprintf("the file has only %d bytes", len(start)))
}

func (f *File) openFormat(start []byte) (err error) {
	switch {
	case bytes.Equal(start, magicPcapNG):
		f.format = &pcapng{f: f}
		return nil
	case pcapMagic(start) != nil:
		f.format, err = newPcap(f)
		return err
	}
	return notCapture(f.name, fmt.Sprintf("it begins with the bytes %x", start))
}

func notCapture(name, why string) error {
	return engine.Errorf(engine.Invalid, "capture %q: not a capture file: %s", name, why).
		WithHint("want pcap or pcapng, bare or compressed with gzip or zstd, as tcpdump -w and Wireshark write them")
}

// Next returns the next frame of the file.
func (f *File) Next(ctx context.Context, frame *Frame) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if f.next == len(f.current.records) {
		f.current.records, f.next = f.current.records[:0], 0
		if err := f.fill(ctx, f.current); err != nil {
			return err
		}
	}
	f.current.frame(&f.current.records[f.next], frame)
	f.next++
	f.counts.frame(len(frame.Data))
	return nil
}

// Stats returns what was read so far.
func (f *File) Stats() SourceStats { return f.counts.snapshot() }

// Close closes the decompressor, and the file when Open opened it.
func (f *File) Close() error {
	var errs []error
	for _, done := range f.closers {
		errs = append(errs, done())
	}
	f.closers = nil
	return errors.Join(errs...)
}

// fail says where in the file something went wrong.
func (f *File) fail(format string, args ...any) error {
	offset, packets := f.offset, f.packets
	if f.chunk != nil {
		offset, packets = offset+int64(f.chunk.used), packets+len(f.chunk.records)
	}
	where := fmt.Sprintf("byte %d", offset)
	if packets > 0 {
		where = fmt.Sprintf("after packet %d, byte %d", packets, offset)
	}
	args = append([]any{f.name, where}, args...)
	err := engine.Errorf(engine.Invalid, "capture %q: %s: "+format, args...)
	if errors.Is(err, ErrTruncated) {
		err.WithHint("the packets before this point were read; copy the file again if the rest is needed")
	}
	return err
}

// endOfData gives the end of the data within a compressed stream its own name.
func endOfData(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return ErrTruncated
	}
	return err
}
