//go:build !linux

package capture

import (
	"context"

	"larkspur/engine"
)

// Live captures from a network interface; elsewhere than on Linux it does not.
type Live struct{}

func notHere(name string) error {
	return engine.Errorf(engine.Unavailable, "interface %q: capturing from an interface works on Linux only", name).
		WithHint("pipe what tcpdump -w - writes into the command and read -")
}

// OpenLive returns an error.
func OpenLive(cfg LiveConfig) (*Live, error) { return nil, notHere(cfg.Interface) }

// OpenFanout returns an error.
func OpenFanout(cfg LiveConfig, _ int) ([]*Live, error) { return nil, notHere(cfg.Interface) }

// Next returns an error.
func (l *Live) Next(context.Context, *Frame) error { return notHere("") }

// Stats returns nothing.
func (l *Live) Stats() SourceStats { return SourceStats{} }

// State returns nothing.
func (l *Live) State() LiveState { return LiveState{} }

// Close does nothing.
func (l *Live) Close() error { return nil }
