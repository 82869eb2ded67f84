package ledger

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"runtime"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"larkspur/engine"
	"larkspur/engine/record"
)

// Lines of an export are read in chunks, which all processors parse and hash
// side by side; they are used one after the other, in the order of the file.

// chunkBytes is how much of a file one processor takes at once.
const chunkBytes = 256 << 10

// firstChunkBytes is the first chunk's size; each next one is twice as large,
// up to chunkBytes.
const firstChunkBytes = 16 << 10

// longLineBytes is what is kept of a line that is too long, which no parser
// accepts.
const longLineBytes = 1024

// chunk is some whole lines.
type chunk struct {
	text  []byte
	lines []line
	cut   bool // the last line has no end
	long  bool // it is the beginning of one line that is too long
	done  chan struct{}
}

// line is one line, as far as it can be judged without the others.
type line struct {
	text   []byte // without its end
	until  int    // where in the chunk the next one begins
	kind   lineKind
	record recordLine
	leaf   tlog.Hash // of the record
	proof  proofLine
	err    error // it is not what it begins as
}

type lineKind int

const (
	lineRecord lineKind = iota
	lineProof
	lineEnd
)

// proofLine is a line of proof: tails, or a tile.
type proofLine struct {
	tails  *tailsLine
	tile   tileLine
	hashes []tlog.Hash // of the tile
	above  tlog.Hash   // the node above them
}

// lineReader reads an export behind its first line.
type lineReader struct {
	in     *bufio.Reader
	ledger record.LedgerID
	// exact parses every line by the parsers that define the format, and reads it
	// in the smallest chunks: for tests, which hold the fast ones against it.
	exact bool
	size  int    // of the next chunk
	rest  []byte // of a line that has begun
	err   error
}

// each calls use for every chunk, in order.
func (r *lineReader) each(use func(*chunk)) error {
	workers := runtime.GOMAXPROCS(0)
	count := workers + 2
	free, work, order := make(chan *chunk, count), make(chan *chunk, count), make(chan *chunk, count)
	for range count {
		free <- &chunk{done: make(chan struct{}, 1)}
	}
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for c := range work {
				r.parse(c)
				c.done <- struct{}{}
			}
		})
	}
	all.Go(func() {
		defer close(order)
		defer close(work)
		for c := range free {
			if !r.fill(c) {
				return
			}
			work <- c
			order <- c
		}
	})
	for c := range order {
		<-c.done
		use(c)
		free <- c
	}
	all.Wait()
	return r.err
}

// fill reads the next chunk; false at the end of the file.
func (r *lineReader) fill(c *chunk) bool {
	want := r.grow()
	c.text, c.cut, c.long = append(c.text[:0], r.rest...), false, false
	r.rest = r.rest[:0]
	for {
		if cap(c.text) < want {
			c.text = append(make([]byte, 0, want), c.text...)
		}
		n, err := io.ReadFull(r.in, c.text[len(c.text):want])
		c.text = c.text[:len(c.text)+n]
		end := bytes.LastIndexByte(c.text, '\n') + 1
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			c.cut = end < len(c.text)
			return len(c.text) > 0
		case err != nil:
			r.err = err
			return false
		case end > 0:
			r.rest = append(r.rest, c.text[end:]...)
			c.text = c.text[:end]
			return true
		case len(c.text) == maxLineBytes:
			return r.passOver(c)
		}
		want = min(2*want, maxLineBytes)
	}
}

func (r *lineReader) grow() int {
	switch {
	case r.exact:
		r.size = 1
	case r.size == 0:
		r.size = firstChunkBytes
	default:
		r.size = min(2*r.size, chunkBytes)
	}
	return max(r.size, len(r.rest)+1)
}

// passOver reads the rest of a line that is too long.
func (r *lineReader) passOver(c *chunk) bool {
	c.text, c.long = c.text[:longLineBytes], true
	for {
		_, err := r.in.ReadSlice('\n')
		switch {
		case err == nil:
			return true
		case errors.Is(err, io.EOF):
			c.cut = true
			return true
		case !errors.Is(err, bufio.ErrBufferFull):
			r.err = err
			return false
		}
	}
}

// parse parses the lines of a chunk.
func (r *lineReader) parse(c *chunk) {
	c.lines = c.lines[:0]
	var h leafHasher
	for at := 0; at < len(c.text); {
		end, next := len(c.text), len(c.text)
		if n := bytes.IndexByte(c.text[at:], '\n'); n >= 0 {
			end, next = at+n, at+n+1
		}
		if len(c.lines) == cap(c.lines) {
			c.lines = append(c.lines, line{})
		} else {
			c.lines = c.lines[:len(c.lines)+1]
		}
		l := &c.lines[len(c.lines)-1]
		l.text, l.until = c.text[at:end], next
		r.parseLine(l, &h)
		at = next
	}
}

func (r *lineReader) parseLine(l *line, h *leafHasher) {
	l.err = nil
	switch {
	case bytes.HasPrefix(l.text, []byte(`{"end":`)):
		l.kind = lineEnd
	case bytes.HasPrefix(l.text, []byte(`{"proof":`)), bytes.HasPrefix(l.text, []byte(`{"hashes":`)):
		l.kind = lineProof
		l.proof, l.err = r.parseProof(l.text)
	default:
		l.kind = lineRecord
		if l.err = l.record.parse(l.text, r.exact); l.err == nil {
			l.record.Ledger = r.ledger
			l.leaf = h.leaf(&l.record)
		}
	}
}

func (r *lineReader) parseProof(text []byte) (p proofLine, err error) {
	tile, ok := tileLine{}, false
	if !r.exact {
		tile, ok = parseTile(text)
	}
	if !ok {
		if t, err := parseStrict[tailsLine](text); err == nil && t.Proof == "tails" {
			return proofLine{tails: &t}, nil
		}
		if tile, err = parseStrict[tileLine](text); err != nil {
			return p, err
		}
	}
	if tile.Proof != "tile" || tile.Level < 0 || tile.Level > 6 || len(tile.Hashes) != tileWidth*tlog.HashSize {
		return p, engine.Errorf(engine.Invalid, "it is neither the tails nor a tile of a tree")
	}
	p = proofLine{tile: tile, hashes: decodeTile(tile.Hashes)}
	p.above = fold(p.hashes)
	return p, nil
}

// parseTile reads a full tile as exports write it; false for anything else,
// which parseStrict judges.
func parseTile(text []byte) (t tileLine, ok bool) {
	const hashes = `{"hashes":"`
	const chars = (tileWidth*tlog.HashSize + 2) / 3 * 4
	if len(text) < len(hashes)+chars || string(text[:len(hashes)]) != hashes {
		return t, false
	}
	room := make([]byte, tileWidth*tlog.HashSize+3)
	n, err := strictBase64.Decode(room, text[len(hashes):len(hashes)+chars])
	if err != nil || n != tileWidth*tlog.HashSize {
		return t, false
	}
	s := scanner{b: text, at: len(hashes) + chars}
	t = tileLine{Hashes: room[:n], Proof: "tile"}
	t.Index = s.number(`","index":`, 64)
	t.Level = int(s.number(`,"level":`, 31))
	t.Shard = uint16(s.number(`,"proof":"tile","shard":`, 16))
	s.want(`}`)
	return t, s.err == nil && s.at == len(text)
}
