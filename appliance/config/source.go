package config

import (
	"sync/atomic"

	"larkspur/engine"
	"larkspur/scripts"
)

// Source reads the configuration of a workspace whenever its files change. Its
// Settings serve a scripts.Loader; what was read takes effect when the whole
// workspace does: at a scripts.Live that is OK, Newest is its configuration.
type Source struct {
	Dir string

	newest atomic.Pointer[Config]
}

// Settings reads both files anew.
func (s *Source) Settings() (scripts.Settings, []engine.Problem) {
	c, problems := Load(s.Dir)
	if !scripts.HasError(problems) {
		s.newest.Store(c)
	}
	return c.Settings(), problems
}

// Newest is the configuration that was read last without an error; nil before
// there is one. Safe for concurrent use.
func (s *Source) Newest() *Config { return s.newest.Load() }
