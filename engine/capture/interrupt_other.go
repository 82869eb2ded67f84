//go:build !linux

package capture

import (
	"context"
	"io"
)

// interruptible reads from r; elsewhere than on Linux a context does not end the
// wait for a pipe.
type interruptible struct{ r io.Reader }

func (i *interruptible) prepare(r io.Reader) { i.r = r }

func (i *interruptible) read(_ context.Context, p []byte) (int, error) { return i.r.Read(p) }
