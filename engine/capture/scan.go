package capture

import (
	"context"
	"io"
	"sync"
)

// A Scan reads the DNS messages of a File by several workers at once, and tells
// those that are asked for in the order of a Reader.
//
// A worker takes the next chunk of the file and decides by itself about every frame
// that stands alone: it decodes it, and is done with it when nobody wants it. Frames
// of messages that are wanted, and those whose meaning depends on earlier ones,
// segments of TCP and fragments, it hands on. They are decoded in the order of the
// file, by one Decoder, which is never at work twice at a time. So every frame is
// counted by one Decoder, and what comes out, as well as the counters at the end, is
// what a Reader says.
type Scan struct {
	file    *File
	workers []*scanWorker
	ordered *Decoder
	wants   func(*Message) bool // of what is decoded in order
	room    chan struct{}       // one for each chunk that may be begun

	reading sync.Mutex
	read    uint64 // chunks read
	end     error  // of reading

	telling sync.Mutex
	spare   []*chunk          // the one used last comes first: it lies in the cache
	waiting map[uint64]*chunk // decoded, by number
	told    uint64            // chunks told
	busy    bool              // somebody tells
	failed  error             // of tell
}

// chunksPerWorker bounds the chunks in memory: a worker may be so far ahead of the
// slowest.
const chunksPerWorker = 3

// handedWanted marks, among the frames that are handed on, those of messages that
// somebody wants.
const handedWanted = 1 << 31

// NewScan returns a Scan of a file of which nothing was read yet, which the caller
// closes, by so many workers, at least one. judge makes what says of a message
// whether it is wanted: one for each worker and one for what is decoded in order, so
// that each can have memory of its own; they are asked at the same time, and the
// message is theirs until they return. Ports are as NewReader takes them.
func NewScan(file *File, workers int, judge func() func(*Message) bool, ports ...uint16) *Scan {
	s := &Scan{file: file, wants: judge(), ordered: NewDecoder(ports...), waiting: map[uint64]*chunk{}}
	workers = max(workers, 1)
	s.room = make(chan struct{}, workers*chunksPerWorker)
	for range workers {
		w := &scanWorker{scan: s, wants: judge(), decoder: NewDecoder(ports...)}
		w.decoder.alone = true
		s.workers = append(s.workers, w)
	}
	return s
}

// Run reads to the end of the file and tells what is wanted, one message after the
// other, not always from the same goroutine; a message is valid until tell returns.
// It returns nil at the end of the file, or the first error of tell, or what ended
// the reading, once all before that was told: after the end of ctx, Run may be called
// again to go on.
func (s *Scan) Run(ctx context.Context, tell func(*Message) error) error {
	s.work(ctx, tell)
	switch {
	case s.failed != nil:
		return s.failed
	case s.end != io.EOF && ctx.Err() != nil:
		return s.end // the file may be read on under another context
	}
	s.ordered.Flush()
	if s.tell(s.wants, tell); s.failed != nil {
		return s.failed
	}
	if s.end == io.EOF {
		return nil
	}
	return s.end
}

// work lets all workers work until the end, which a failure of tell brings about.
func (s *Scan) work(ctx context.Context, tell func(*Message) error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s.end = nil
	toldOrStopped := func(m *Message) error {
		err := tell(m)
		if err != nil {
			stop()
		}
		return err
	}
	var others sync.WaitGroup
	for _, w := range s.workers[1:] {
		others.Go(func() { w.run(ctx, toldOrStopped) })
	}
	s.workers[0].run(ctx, toldOrStopped)
	others.Wait()
}

// Reject is that of a Reader, for the message that is being told.
func (s *Scan) Reject() { s.ordered.reject() }

// Stats returns the counters of the file and of all decoders. It may be called at
// any time, from any goroutine.
func (s *Scan) Stats() Stats {
	stats := s.ordered.Stats()
	for _, w := range s.workers {
		stats.Add(w.decoder.Stats())
	}
	stats.Source = s.file.Stats()
	return stats
}

// claim reads the next chunk; nil at the end.
func (s *Scan) claim(ctx context.Context) *chunk {
	s.room <- struct{}{}
	b := s.begin()
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.end == nil {
		s.end = ctx.Err()
	}
	if s.end == nil {
		s.end = s.file.fill(ctx, b)
	}
	if s.end != nil {
		<-s.room
		return nil
	}
	b.number = s.read
	s.read++
	return b
}

// begin returns a chunk to be filled.
func (s *Scan) begin() *chunk {
	s.telling.Lock()
	defer s.telling.Unlock()
	last := len(s.spare) - 1
	if last < 0 {
		return newChunk()
	}
	b := s.spare[last]
	s.spare = s.spare[:last]
	return b
}

// deliver has the chunk told, here or by whom is already at it, when its turn comes.
func (s *Scan) deliver(b *chunk, tell func(*Message) error) {
	s.telling.Lock()
	defer s.telling.Unlock()
	s.waiting[b.number] = b
	if s.busy {
		return
	}
	s.busy = true
	for b = s.waiting[s.told]; b != nil; b = s.waiting[s.told] {
		delete(s.waiting, s.told)
		s.told++
		s.telling.Unlock()
		s.inOrder(b, tell)
		s.telling.Lock()
		s.spare = append(s.spare, b)
		<-s.room
	}
	s.busy = false
}

// inOrder decodes what was handed on.
func (s *Scan) inOrder(b *chunk, tell func(*Message) error) {
	var f Frame
	for _, handed := range b.handed {
		b.frame(&b.records[handed&^handedWanted], &f)
		s.ordered.Decode(&f)
		wants := s.wants
		if handed&handedWanted != 0 {
			wants = nil
		}
		s.tell(wants, tell)
	}
}

// tell tells the messages that are ready and wanted; nil wants all that were asked
// about before.
func (s *Scan) tell(wants func(*Message) bool, tell func(*Message) error) {
	for m := s.ordered.Next(); m != nil; m = s.ordered.Next() {
		if s.failed == nil && (wants == nil || wants(m)) {
			s.failed = tell(m)
		}
	}
}

// scanWorker decodes chunks.
type scanWorker struct {
	scan    *Scan
	wants   func(*Message) bool
	decoder *Decoder
	frame   Frame
}

func (w *scanWorker) run(ctx context.Context, tell func(*Message) error) {
	for b := w.scan.claim(ctx); b != nil; b = w.scan.claim(ctx) {
		w.decode(b)
		w.scan.deliver(b, tell)
	}
}

// decode decides about every frame of a chunk.
func (w *scanWorker) decode(b *chunk) {
	b.handed = b.handed[:0]
	var bytes, queries, responses uint64
	for i := range b.records {
		r := &b.records[i]
		bytes += uint64(r.captured)
		b.frame(r, &w.frame)
		w.decoder.Decode(&w.frame)
		m := w.decoder.next()
		switch {
		case w.decoder.left:
			b.handed = append(b.handed, uint32(i))
		case m == nil:
		case w.wants(m):
			b.handed = append(b.handed, uint32(i)|handedWanted)
		case m.Response():
			responses++
		default:
			queries++
		}
	}
	w.decoder.counts.queries.Add(queries)
	w.decoder.counts.responses.Add(responses)
	w.scan.file.counts.frames.Add(uint64(len(b.records)))
	w.scan.file.counts.bytes.Add(bytes)
}
