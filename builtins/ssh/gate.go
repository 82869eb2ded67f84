package ssh

import (
	"context"

	"golang.org/x/crypto/ssh"

	"larkspur/builtins/reach"
	"larkspur/builtins/settings"
	"larkspur/engine"
)

// Gate is a host that scripts know nothing of, by which the page is reached from
// outside. It is named in the configuration of the box, and known and signed in to
// as every host is.
type Gate struct{ machine *machine }

// OpenGate reads the settings of a gate, which stand under key. It connects to
// nothing, and reads of the workspace whether the file of known hosts is good.
func OpenGate(key string, values map[string]any, env reach.Env) (*Gate, error) {
	s := settings.Read(key, values)
	a := readAccount(s, key, key)
	if err := s.Done(); err != nil {
		return nil, err
	}
	if err := checkFiles(env.Workspace, a); err != nil {
		return nil, err
	}
	policy, err := reach.NewPolicy(nil, nil, []string{a.host}, nil) // the owner of the box names it
	if err != nil {
		return nil, err
	}
	env.Dialer = &reach.Dialer{Policy: policy}
	return &Gate{&machine{module: &module{env: &env}, account: a}}, nil
}

// Address is where the gate is.
func (g *Gate) Address() string { return g.machine.address() }

// Dial signs in. Whoever asks closes the client.
func (g *Gate) Dial(ctx context.Context) (*ssh.Client, error) {
	l, err := g.machine.dial(ctx, "tunnel")
	if err != nil {
		return nil, engine.AsError(err)
	}
	return l.client, nil
}
