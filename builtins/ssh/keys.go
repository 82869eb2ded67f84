package ssh

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"larkspur/builtins/reach"
	"larkspur/engine"
)

// identity is what we prove ourselves with at a host.
type identity struct {
	signers []ssh.Signer // the certificate's first
	public  string       // the line for authorized_keys
}

// identity reads a connection's key and certificate.
func (a account) identity(env *reach.Env) (identity, error) {
	text, err := env.Secrets.Get(a.private)
	if err != nil {
		return identity{}, engine.WrapError(engine.Invalid, err, a.key+".key")
	}
	passphrase := ""
	if a.passphrase != "" {
		if passphrase, err = env.Secrets.Get(a.passphrase); err != nil {
			return identity{}, engine.WrapError(engine.Invalid, err, a.key+".passphrase")
		}
	}
	signer, err := a.signer([]byte(text), []byte(passphrase))
	if err != nil {
		return identity{}, err
	}
	id := identity{signers: []ssh.Signer{signer}, public: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))}
	if a.certificate == "" {
		return id, nil
	}
	certified, err := a.certified(env, signer)
	if err != nil {
		return identity{}, err
	}
	id.signers = slices.Insert(id.signers, 0, certified)
	return id, nil
}

// signer reads a private key. Nothing of the key's text enters an error.
func (a account) signer(text, passphrase []byte) (ssh.Signer, error) {
	key := a.key + ".key"
	if !bytes.HasSuffix(text, []byte("\n")) {
		text = append(slices.Clone(text), '\n') // secrets lose their last line end
	}
	raw, err := ssh.ParseRawPrivateKey(text)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked) && len(passphrase) == 0:
		return nil, engine.Errorf(engine.Invalid, "%s: the private key is encrypted", key).
			WithHint("write %s: secret:NAME with its passphrase, or take the passphrase off with ssh-keygen -p", a.key+".passphrase")
	case errors.As(err, &locked):
		if raw, err = ssh.ParseRawPrivateKeyWithPassphrase(text, passphrase); err != nil {
			return nil, engine.Errorf(engine.Invalid, "%s: it does not open the private key", a.key+".passphrase")
		}
	case err != nil && bytes.HasPrefix(bytes.TrimSpace(text), []byte("ssh-")):
		return nil, engine.Errorf(engine.Invalid, "%s: this is the public key", key).WithHint("the private one lies in the file without .pub")
	case err != nil:
		return nil, engine.Errorf(engine.Invalid, "%s: this is not a private key that OpenSSH writes", key).
			WithHint("make one with ssh-keygen -t ed25519")
	}
	signer, err := ssh.NewSignerFromKey(raw)
	if err != nil {
		return nil, engine.Errorf(engine.Invalid, "%s: keys of this kind are not taken", key).WithHint("make one with ssh-keygen -t ed25519")
	}
	switch signer.PublicKey().Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return signer, nil
	case ssh.KeyAlgoRSA:
		return rsaSigner(key, raw, signer)
	}
	return nil, engine.Errorf(engine.Invalid, "%s: got a key of type %s, want ed25519, ecdsa or rsa", key, signer.PublicKey().Type()).
		WithHint("make one with ssh-keygen -t ed25519")
}

// rsaSigner keeps an RSA key from signing with SHA-1 (RFC 8332).
func rsaSigner(key string, raw any, signer ssh.Signer) (ssh.Signer, error) {
	if k, ok := raw.(*rsa.PrivateKey); ok && k.N.BitLen() < minRSABits {
		return nil, engine.Errorf(engine.Invalid, "%s: an RSA key of %d bits is too short, want at least %d", key, k.N.BitLen(), minRSABits)
	}
	able, ok := signer.(ssh.AlgorithmSigner)
	if !ok {
		return nil, engine.Errorf(engine.Internal, "%s: the key cannot sign with SHA-2", key)
	}
	return ssh.NewSignerWithAlgorithms(able, []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256})
}

// certified reads the certificate that belongs to the key (OpenSSH
// PROTOCOL.certkeys).
func (a account) certified(env *reach.Env, signer ssh.Signer) (ssh.Signer, error) {
	key := a.key + ".certificate"
	var text []byte
	if name, ok := strings.CutPrefix(a.certificate, secretPrefix); ok {
		value, err := env.Secrets.Get(name)
		if err != nil {
			return nil, engine.WrapError(engine.Invalid, err, key)
		}
		text = []byte(value)
	} else {
		var err error
		if text, err = readFile(env.Workspace, a.certificate); err != nil {
			return nil, engine.Errorf(engine.Invalid, "%s: %w", key, err)
		}
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(text)
	cert, ok := public.(*ssh.Certificate)
	switch {
	case err != nil || !ok:
		return nil, engine.Errorf(engine.Invalid, "%s: this is not a certificate that ssh-keygen -s writes", key)
	case cert.CertType != ssh.UserCert:
		return nil, engine.Errorf(engine.Invalid, "%s: this is the certificate of a host, want that of a user", key)
	}
	if now := uint64(env.Clock.Now().Unix()); now >= cert.ValidBefore || now < cert.ValidAfter {
		return nil, engine.Errorf(engine.Denied, "%s: the certificate counts from %s to %s", key, moment(cert.ValidAfter), moment(cert.ValidBefore)).
			WithHint("sign the key again with ssh-keygen -s")
	}
	out, err := ssh.NewCertSigner(cert, signer)
	if err != nil {
		return nil, engine.Errorf(engine.Invalid, "%s: the certificate is that of another key", key)
	}
	return out, nil
}

func moment(seconds uint64) string {
	const last = 253402300799 // the end of the year 9999; OpenSSH writes 2^64-1 for never
	if seconds > last {
		return "for ever"
	}
	return time.Unix(int64(seconds), 0).UTC().Format(time.RFC3339)
}

// readFile reads a small file of the workspace and nothing outside of it.
func readFile(workspace, path string) ([]byte, error) {
	if workspace == "" {
		return nil, fmt.Errorf("there is no workspace to read %s from", path)
	}
	root, err := os.OpenRoot(workspace)
	if err != nil {
		return nil, fmt.Errorf("the workspace cannot be read")
	}
	defer root.Close()
	if info, err := root.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", path)
	}
	f, err := root.Open(filepath.Clean(path))
	var fault *os.PathError
	if errors.As(err, &fault) {
		err = fault.Err
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	if err == nil && len(text) > maxConfigBytes {
		err = fmt.Errorf("%s is larger than %d MB", path, maxConfigBytes>>20)
	}
	return text, err
}
