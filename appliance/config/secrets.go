package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"larkspur/engine"
	"larkspur/scripts"
)

// maxSecretBytes bounds one secret.
const maxSecretBytes = 64 << 10

// Secrets are the secrets of this box: environment variables, then files. They
// are read each time, so that a new value needs no restart. Safe for concurrent
// use.
type Secrets struct {
	dir string
	env func(name string) (string, bool)
}

// NewSecrets reads secrets from the files of a folder, and before that from an
// environment: os.LookupEnv.
func NewSecrets(dir string, env func(string) (string, bool)) *Secrets {
	return &Secrets{dir: dir, env: env}
}

// Get returns a secret's value. The error is of kind not_found when it is not
// set, and never holds a value.
func (s *Secrets) Get(name string) (string, error) {
	if !nameForm.MatchString(name) {
		return "", engine.Errorf(engine.Invalid, "secret %.60q: want letters, digits, dots, hyphens or underscores", name)
	}
	if value, ok := s.env(envName(name)); ok && value != "" {
		return value, nil
	}
	in, err := os.Open(filepath.Join(s.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", s.missing(name, "is not set")
	}
	if err != nil {
		return "", engine.WrapError(engine.Unavailable, err, "secret "+name)
	}
	defer in.Close()
	value, err := io.ReadAll(io.LimitReader(in, maxSecretBytes+1))
	text := strings.TrimSuffix(strings.TrimSuffix(string(value), "\n"), "\r")
	switch {
	case err != nil:
		return "", engine.WrapError(engine.Unavailable, err, "secret "+name)
	case len(value) > maxSecretBytes:
		return "", engine.Errorf(engine.Invalid, "secret %q: more than %d bytes", name, maxSecretBytes)
	case text == "":
		return "", s.missing(name, "is empty")
	}
	return text, nil
}

func (s *Secrets) missing(name, what string) error {
	return engine.Errorf(engine.NotFound, "secret %q %s", name, what).
		WithHint("write it into %s (mode 0600), or set %s in the environment", filepath.Join(s.dir, name), envName(name))
}

// envName is the environment variable of a secret.
func envName(name string) string {
	return "LARKSPUR_SECRET_" + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(name))
}

// open returns the names of secret files that others on this machine may read.
func (s *Secrets) open() []string {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil
	}
	var open []string
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
			open = append(open, e.Name())
		}
	}
	return open
}

// Missing returns a problem for every secret that the configuration or a webhook
// names and that is not set, and a warning for every one that others may read.
func (c *Config) Missing(live *scripts.Live) []engine.Problem {
	r := &reader{}
	uses := append([]secretUse(nil), c.uses...)
	if live != nil {
		uses = append(uses, hookSecrets(live)...)
	}
	for _, use := range uses {
		value, err := c.Secrets.Get(use.name)
		switch {
		case err != nil:
			known := engine.AsError(err)
			r.problem(c.severityOfMissing(), "secret", use.at, "%s: %s", use.path, known.Message).Hint = known.Hint
		case len(value) < use.least:
			r.problem("error", "secret", use.at, "%s: secret %q has %d characters, want at least %d", use.path, use.name, len(value), use.least).
				Hint = "make one with: openssl rand -base64 24"
		}
	}
	for _, name := range c.Secrets.open() {
		path := filepath.Join(c.Secrets.dir, name)
		at := path
		if rel, err := filepath.Rel(c.Dir, path); err == nil && filepath.IsLocal(rel) {
			at = filepath.ToSlash(rel)
		}
		r.problem("warning", "secret", engine.Position{File: at, Line: 1, Col: 1}, "others on this machine may read it").Hint = "chmod 600 " + path
	}
	return r.problems
}

// severityOfMissing is that of a secret that is not set. A checkout of the
// workspace without box.yaml and secrets is not the box, and need not have them.
func (c *Config) severityOfMissing() string {
	if _, err := os.Stat(c.Secrets.dir); !c.Box.Exists && errors.Is(err, fs.ErrNotExist) {
		return "warning"
	}
	return "error"
}

// hookSecrets are the secrets that guard the webhooks of rules.
func hookSecrets(live *scripts.Live) []secretUse {
	var uses []secretUse
	for _, rule := range live.Snapshot.Declarations.Rules {
		for _, t := range rule.When {
			args, _ := t.Args.Value()
			fields, _ := args.(map[string]engine.Value)
			name, _ := fields["name"].(string)
			if secret, known := live.Rules.Hook(name); known && t.Kind == "webhook" {
				uses = append(uses, secretUse{name: secret, path: fmt.Sprintf("on.webhook(%q)", name), at: t.At})
			}
		}
	}
	return uses
}
