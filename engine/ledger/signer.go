package ledger

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"larkspur/engine"
)

// Signer signs checkpoints with the Ed25519 keys that lie in a file: pairs of
// lines, private and public, the key in use first. While keys overlap after a
// rotation every one of them signs, so that an auditor who keeps an old public
// key can still verify.
type Signer struct {
	signers  []note.Signer
	Verifier string // the public key in use, as auditors keep it
	// Older public keys that still sign.
	Older []string
}

// maxSignerKeys bounds how many keys sign at once.
const maxSignerKeys = 8

// LoadSigner reads the keys in path, and makes one if there is none. The file is
// the box's own (mode 0600).
func LoadSigner(path, name string) (*Signer, error) {
	s, err := readSigner(path)
	if errors.Is(err, os.ErrNotExist) {
		return addKey(path, name, nil)
	}
	return s, err
}

// VerifierKeys returns the public keys in a signer's file, the one in use first.
func VerifierKeys(path string) ([]string, error) {
	s, err := readSigner(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, engine.Errorf(engine.NotFound, "checkpoint key %q: there is none yet", path).
			WithHint("the first start of larkspur serve makes it")
	}
	if err != nil {
		return nil, err
	}
	return append([]string{s.Verifier}, s.Older...), nil
}

// RotateKey puts a new key in front of those in path. All of them sign until
// EndRotation. A running appliance goes on with the keys that it read at its
// start.
func RotateKey(path, name string) (*Signer, error) {
	old, err := keyLines(path)
	if err != nil {
		return nil, err
	}
	if len(old)/2 == maxSignerKeys {
		return nil, engine.Errorf(engine.Conflict, "checkpoint key %q: %d keys sign already", path, maxSignerKeys).
			WithHint("end the overlap first: larkspur audit rotate-key --end")
	}
	return addKey(path, name, old)
}

// EndRotation drops every key but the newest.
func EndRotation(path string) (*Signer, error) {
	lines, err := keyLines(path)
	if err != nil {
		return nil, err
	}
	if err := writeKeys(path, lines[:2]); err != nil {
		return nil, err
	}
	return newSigner(path, lines[:2])
}

func readSigner(path string) (*Signer, error) {
	lines, err := keyLines(path)
	if err != nil {
		return nil, err
	}
	return newSigner(path, lines)
}

// keyLines reads the pairs of lines of a signer's file.
func keyLines(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, engine.WrapError(engine.Unavailable, err, "checkpoint key")
	}
	lines := strings.Fields(string(text))
	if len(lines) == 0 || len(lines)%2 != 0 {
		return nil, engine.Errorf(engine.Invalid, "checkpoint key %q: got %d lines, want pairs of a private and a public key", path, len(lines))
	}
	return lines, nil
}

func newSigner(path string, lines []string) (*Signer, error) {
	s := &Signer{Verifier: lines[1]}
	for i := 0; i < len(lines); i += 2 {
		signer, err := note.NewSigner(lines[i])
		if err != nil {
			// The cause is left out: it may quote the line, which is a secret.
			return nil, engine.Errorf(engine.Invalid, "checkpoint key %q: line %d is no private key", path, i+1)
		}
		verifier, err := note.NewVerifier(lines[i+1])
		if err != nil || verifier.KeyHash() != signer.KeyHash() || verifier.Name() != signer.Name() {
			return nil, engine.Errorf(engine.Invalid, "checkpoint key %q: line %d is not the public key of line %d", path, i+2, i+1)
		}
		s.signers = append(s.signers, signer)
		if i > 0 {
			s.Older = append(s.Older, lines[i+1])
		}
	}
	return s, nil
}

func addKey(path, name string, old []string) (*Signer, error) {
	private, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return nil, engine.WrapError(engine.Internal, err, "checkpoint key")
	}
	lines := append([]string{private, public}, old...)
	if err := writeKeys(path, lines); err != nil {
		return nil, err
	}
	return newSigner(path, lines)
}

// writeKeys replaces the file as a whole: a crash leaves the old or the new one.
func writeKeys(path string, lines []string) error {
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = writeSynced(path+".new", strings.Join(lines, "\n")+"\n")
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return engine.WrapError(engine.Unavailable, err, "checkpoint key")
	}
	return nil
}

func writeSynced(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// sign signs a text with every key.
func (s *Signer) sign(text string) ([]byte, error) {
	if s == nil {
		return nil, engine.Errorf(engine.Unavailable, "ledger: there is no key to sign with")
	}
	signed, err := note.Sign(&note.Note{Text: text}, s.signers...)
	if err != nil {
		return nil, engine.WrapError(engine.Internal, err, "ledger: signing")
	}
	return signed, nil
}

// names returns the keys as findings and summaries write them: NAME+HASH.
func (s *Signer) names() []string {
	var names []string
	for _, each := range s.signers {
		names = append(names, keyName(each.Name(), each.KeyHash()))
	}
	return names
}

func keyName(name string, hash uint32) string { return fmt.Sprintf("%s+%08x", name, hash) }
