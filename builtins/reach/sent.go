package reach

import (
	"context"
	"net/http/httptrace"
	"sync/atomic"
)

// Sent tells whether an HTTP request may have reached the other end: true from
// the moment a connection was there to write to, which errs on the side of
// "maybe".
type Sent struct{ flag atomic.Bool }

// Watch returns a context under which requests set s.
func (s *Sent) Watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { s.flag.Store(true) },
	})
}

// Maybe reports whether something may have been sent.
func (s *Sent) Maybe() bool { return s.flag.Load() }
