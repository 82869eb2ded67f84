package capture

import (
	"context"
	"io"
	"time"
)

const (
	// fileBuffer is how much of a file is read at once. A record of a file must
	// fit.
	fileBuffer = 512 << 10
	// maxEmptyReads is how often in a row a reader may return nothing at all.
	maxEmptyReads = 100
)

// chunk is a piece of a file, after decompression, and the frames that lie whole in
// it. Once filled, it depends on nothing else: others may decode it while the file
// goes on.
type chunk struct {
	data    []byte // of capacity fileBuffer
	used    int    // of data, by whole records
	records []frameRecord
	number  uint64   // of the chunks of a Scan
	handed  []uint32 // what a worker left to be done in order: see Scan
}

// frameRecord says where in a chunk a frame lies.
type frameRecord struct {
	nanos    int64 // since 1970
	at       uint32
	captured uint32
	length   uint32 // on the wire
	link     LinkType
}

func newChunk() *chunk { return &chunk{data: make([]byte, 0, fileBuffer)} }

// frame makes f the frame of a record. Its data lies in the chunk.
func (b *chunk) frame(r *frameRecord, f *Frame) {
	end := r.at + r.captured
	f.Time, f.Link, f.Length = time.Unix(0, r.nanos).UTC(), r.link, int(r.length)
	f.Data = b.data[r.at:end:end]
	f.VLANs = VLANs{}
}

// note adds a frame: captured bytes at a place of the chunk.
func (b *chunk) note(nanos int64, at int, captured, length uint32, link LinkType) {
	b.records = append(b.records, frameRecord{nanos: nanos, at: uint32(at), captured: captured, length: wireLength(length, captured), link: link})
}

// start makes the chunk begin with what another could not use.
func (b *chunk) start(rest []byte) {
	b.data, b.records, b.used = append(b.data[:0], rest...), b.records[:0], 0
}

// shift lets the chunk begin with the first record that is not whole.
func (b *chunk) shift() {
	b.data = b.data[:copy(b.data, b.data[b.used:])]
	b.used = 0
}

// lack is what a file must still hold for the next record to be whole.
type lack struct {
	what    string
	missing int
}

// fill reads on until b holds at least one whole frame, and everything of that read
// after it. At the end of the file it returns io.EOF; an end of the context is not
// final, other errors are: they come after all frames before them.
func (f *File) fill(ctx context.Context, b *chunk) error {
	f.ctx, f.chunk = ctx, b
	b.start(f.rest)
	for empty := 0; ; {
		if f.err == nil {
			f.err = f.split(b)
		}
		if len(b.records) > 0 || f.err != nil {
			break
		}
		f.offset += int64(b.used)
		b.shift()
		n, err := f.readOn(b)
		switch {
		case ctx.Err() != nil && err != nil:
			f.rest = append(f.rest[:0], b.data...)
			return ctx.Err()
		case n > 0 || err == nil:
			if empty++; n > 0 {
				empty = 0
			}
			if f.ended = err; err == nil && empty == maxEmptyReads {
				f.ended = io.ErrNoProgress
			}
		default:
			f.err = f.end(b, err)
		}
	}
	f.rest = append(f.rest[:0], b.data[b.used:]...)
	f.offset += int64(b.used)
	f.packets += len(b.records)
	if len(b.records) > 0 {
		return nil
	}
	return f.err
}

// readOn appends to the chunk what one read of the file returns.
func (f *File) readOn(b *chunk) (n int, err error) {
	if f.ended != nil {
		return 0, f.ended
	}
	have := len(b.data)
	n, err = f.in.Read(b.data[have:min(have+f.readSize, cap(b.data))])
	b.data = b.data[:have+n]
	return n, err
}

// split notes the frames that are whole, behind what is to be skipped.
func (f *File) split(b *chunk) error {
	if f.skip > 0 {
		part := min(f.skip, len(b.data)-b.used)
		f.skip -= part
		b.used += part
	}
	if f.skip > 0 {
		f.lacks = lack{"block", f.skip}
		return nil
	}
	return f.format.split(b)
}

// pass goes on behind n bytes that may lie beyond the chunk.
func (f *File) pass(b *chunk, n int) (beyond bool) {
	part := min(n, len(b.data)-b.used)
	b.used += part
	f.skip = n - part
	return f.skip > 0
}

// end says why the file ended, where the chunk lacks something.
func (f *File) end(b *chunk, err error) error {
	switch {
	case err == io.EOF && f.lacks.what == recordHeader && len(b.data) == 0:
		return io.EOF
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return f.fail("%w: %d bytes of the %s are missing", ErrTruncated, f.lacks.missing, f.lacks.what)
	}
	return f.fail("reading the %s: %w", f.lacks.what, err)
}

// recordHeader names the bytes before which a file may end.
const recordHeader = "packet header"
