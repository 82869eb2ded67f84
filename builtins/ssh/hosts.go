package ssh

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"

	"larkspur/engine"
)

// hosts are the hosts that a workspace knows, as of one moment: the file is read
// for each new connection, so that an added line counts at once.
type hosts struct {
	file string // as the configuration names it
	path string
	db   *knownhosts.HostKeyDB
}

// readHosts reads a file of known hosts (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
// Without the file no host is known, and the refusal of the first one says what to
// put there. Errors are of kind invalid and name the line.
func readHosts(workspace, file string) (*hosts, error) {
	h := &hosts{file: filepath.Clean(file), path: filepath.Join(workspace, file)}
	files := []string{h.path}
	if _, err := readFile(workspace, file); errors.Is(err, fs.ErrNotExist) {
		files = nil
	} else if err != nil {
		return nil, engine.Errorf(engine.Invalid, "%w", err)
	}
	var err error
	if h.db, err = knownhosts.NewDB(files...); err != nil {
		text := strings.TrimPrefix(err.Error(), "knownhosts: ")
		return nil, engine.Errorf(engine.Invalid, "%s", plain(strings.ReplaceAll(text, h.path, h.file)))
	}
	return h, nil
}

// checkFiles says what is wrong with the files that a connection names.
func checkFiles(workspace string, a account) error {
	if !filepath.IsLocal(a.knownHosts) {
		return nil // said before
	}
	if _, err := readHosts(workspace, a.knownHosts); err != nil {
		e := engine.AsError(engine.WrapError(engine.Invalid, err, a.key+".known_hosts"))
		return e.WithHint("ssh-keyscan -p %d %s prints the lines; compare the fingerprint at the host: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub", a.port, a.host)
	}
	if a.certificate == "" || strings.HasPrefix(a.certificate, secretPrefix) {
		return nil
	}
	if _, err := readFile(workspace, a.certificate); err != nil {
		return engine.Errorf(engine.Invalid, "%s.certificate: %w", a.key, err)
	}
	return nil
}

// algorithms are those of the keys that are known of a host, so that it shows one
// of them; of an unknown host all that we take, so that it shows any.
func (h *hosts) algorithms(address string) []string {
	taken := ssh.SupportedAlgorithms().HostKeys
	known := slices.DeleteFunc(h.db.HostKeyAlgorithms(address), func(a string) bool { return !slices.Contains(taken, a) })
	if len(known) == 0 {
		return taken
	}
	return known
}

// check says whether a host shows a key that is known of it. Errors are of kind
// denied.
func (h *hosts) check(address string, remote net.Addr, key ssh.PublicKey) error {
	err := h.db.HostKeyCallback()(address, remote, key)
	if err == nil {
		return nil
	}
	var revoked *xknownhosts.RevokedError
	var unknown *xknownhosts.KeyError
	shown := key.Type() + " " + ssh.FingerprintSHA256(key)
	switch {
	case errors.As(err, &revoked):
		return engine.Errorf(engine.Denied, "the host shows a key that is revoked: %s (%s)", shown, h.line(revoked.Revoked)).
			WithHint("somebody may stand between; ask whoever revoked the key")
	case errors.As(err, &unknown) && len(unknown.Want) > 0:
		return engine.Errorf(engine.Denied, "the host key has changed: it shows %s, known is %s", shown, h.known(unknown.Want)).
			WithHint("if the host was set up anew, compare the fingerprint there and replace the line; if not, somebody stands between")
	case errors.As(err, &unknown):
		return engine.Errorf(engine.Denied, "the host is not known: it shows %s", shown).
			WithHint("compare the fingerprint at the host (ssh-keygen -lf), then add this line to %s: %s", h.file, lineFor(address, key))
	}
	return engine.Errorf(engine.Denied, "the host's certificate is refused: %s", plain(err.Error())) // of an authority that is known
}

// mismatch says that a host has no key of a type that is known of it.
func (h *hosts) mismatch(address string, offered []string) error {
	var known []string
	for _, k := range h.db.HostKeys(address) {
		known = append(known, k.Type())
	}
	slices.Sort(known)
	return engine.Errorf(engine.Denied, "the host has no key of a type that %s knows of it (%s), only %s", h.file,
		strings.Join(slices.Compact(known), ", "), plain(strings.Join(offered, ", "))).
		WithHint("if the host was set up anew, replace its lines; ssh-keyscan prints them")
}

// known writes the keys that were expected, each with its place.
func (h *hosts) known(keys []xknownhosts.KnownKey) string {
	var list []string
	for _, k := range keys {
		list = append(list, fmt.Sprintf("%s %s (%s)", k.Key.Type(), ssh.FingerprintSHA256(k.Key), h.line(k)))
	}
	return strings.Join(list, ", ")
}

func (h *hosts) line(k xknownhosts.KnownKey) string { return fmt.Sprintf("%s:%d", h.file, k.Line) }

// lineFor is the line by which a key becomes known.
func lineFor(address string, key ssh.PublicKey) string {
	if c, ok := key.(*ssh.Certificate); ok {
		key = c.Key
	}
	return knownhosts.Line([]string{address}, key)
}
