package story

import (
	"context"

	"larkspur/engine/capture"
)

// Tape is a capture file that is silent until it is played, and plays once.
type Tape struct {
	Path   string
	Played <-chan struct{} // closed to play it

	file *capture.File // of the goroutine that reads
}

// Next implements capture.Source.
func (t *Tape) Next(ctx context.Context, f *capture.Frame) (err error) {
	select {
	case <-t.Played:
	case <-ctx.Done():
		return ctx.Err()
	}
	if t.file == nil {
		if t.file, err = capture.Open(ctx, t.Path); err != nil {
			return err
		}
	}
	return t.file.Next(ctx, f)
}

// Stats implements capture.Source.
func (t *Tape) Stats() capture.SourceStats { return capture.SourceStats{} }

// Close implements capture.Source.
func (t *Tape) Close() error {
	if t.file == nil {
		return nil
	}
	return t.file.Close()
}
