package capture

import (
	"context"
	"io"
)

// A Reader reads the DNS messages of a Source.
type Reader struct {
	src     Source
	decoder *Decoder
	frame   Frame
	end     error // of the source
}

// NewReader returns a Reader for messages from or to these ports, by default those
// of DNS, mDNS and LLMNR. The caller closes src.
func NewReader(src Source, ports ...uint16) *Reader {
	return &Reader{src: src, decoder: NewDecoder(ports...)}
}

// TellLeases makes Next tell of the DHCP messages that the source yields, before the
// message that follows them. Call it before the first Next.
func (r *Reader) TellLeases(tell func(Lease)) { r.decoder.leases = tell }

// Next returns the next message, in the order in which the messages were complete.
// It is valid until the following call. At the end of a file Next returns io.EOF;
// when ctx ends, its error; any other error is final, says what is wrong where,
// and comes after all messages before that point.
func (r *Reader) Next(ctx context.Context) (*Message, error) {
	for {
		if m := r.decoder.Next(); m != nil {
			return m, nil
		}
		if r.end != nil {
			return nil, r.end
		}
		err := r.src.Next(ctx, &r.frame)
		switch {
		case err == nil:
			r.decoder.Decode(&r.frame)
		case err != io.EOF && ctx.Err() != nil:
			return nil, err // the capture may go on under another context
		default:
			r.end = err
			r.decoder.Flush()
		}
	}
}

// Reject counts the message that Next returned last among the undecodable ones, and
// no longer among the messages: call it when Records turns out an error and the
// message is of no use then.
func (r *Reader) Reject() { r.decoder.reject() }

// Stats returns the counters of the source and of the decoder. It may be called at
// any time, from any goroutine.
func (r *Reader) Stats() Stats {
	s := r.decoder.Stats()
	s.Source = r.src.Stats()
	return s
}
