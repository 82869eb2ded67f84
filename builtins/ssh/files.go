package ssh

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"larkspur/engine"
)

// transfer is one call of upload or download.
type transfer struct {
	call *engine.Call
	host *machine
	path string
	sent atomic.Bool
}

func (m *module) transfer(c *engine.Call) (*transfer, error) {
	t := &transfer{call: c, path: c.Text("path")}
	if t.path == "" || strings.ContainsRune(t.path, 0) || strings.HasSuffix(t.path, "/") {
		return nil, engine.Errorf(engine.Invalid, "%s: path: got %.100q, want the path of a file", c.Name, t.path)
	}
	var err error
	t.host, err = m.machine(c)
	return t, err
}

// over does something by SFTP, within the call's time.
func (t *transfer) over(ctx context.Context, do func(*sftp.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, t.call.Span("timeout", t.host.timeout))
	defer cancel()
	err := t.host.with(ctx, doing(t.call), func(l *link) error {
		lift := l.guard(ctx)
		defer lift()
		client, err := sftp.NewClient(l.client)
		if err != nil {
			return l.stale(ctx, noSubsystem(err))
		}
		err = do(client)
		if err == nil {
			return client.Close()
		}
		l.close()
		return orDone(ctx, err)
	})
	if err != nil {
		return t.fault(err)
	}
	return nil
}

func noSubsystem(err error) error {
	if strings.Contains(err.Error(), "subsystem request failed") {
		return &ssh.OpenChannelError{Reason: ssh.UnknownChannelType, Message: "it has no SFTP"}
	}
	return err
}

// fault gives an error of SFTP its kind.
func (t *transfer) fault(err error) *engine.Error {
	at := doing(t.call) + ": " + plain(t.path)
	var status *sftp.StatusError
	switch {
	case errors.Is(err, os.ErrNotExist):
		return engine.Errorf(engine.NotFound, "%s: there is no such file or folder", at)
	case errors.Is(err, os.ErrPermission):
		return engine.Errorf(engine.Denied, "%s: user %s may not do that", at, t.host.user)
	case errors.As(err, &status):
		return engine.Errorf(engine.Conflict, "%s: the host refuses: %s", at, plain(status.Error())).WithCause("status")
	}
	return fault(err, doing(t.call))
}

func (m *module) doDownload(ctx context.Context, c *engine.Call) (engine.Result, error) {
	t, err := m.transfer(c)
	if err != nil {
		return engine.Result{}, err
	}
	var value engine.Value
	err = t.over(ctx, func(client *sftp.Client) error {
		info, text, err := t.read(client)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil {
			value = engine.Struct{Type: fileType, Fields: map[string]engine.Value{
				"content": string(text), "size": int64(len(text)), "mode": fmt.Sprintf("%04o", info.Mode().Perm()), "modified": info.ModTime().UTC(),
			}}
		}
		return err
	})
	return engine.Result{Value: value}, err
}

// read reads a whole file.
func (t *transfer) read(client *sftp.Client) (os.FileInfo, []byte, error) {
	f, err := client.Open(t.path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, nil, err
	case info.IsDir():
		return nil, nil, engine.Errorf(engine.Invalid, "%s is a folder", plain(t.path))
	}
	var text bytes.Buffer
	n, err := io.Copy(&text, io.LimitReader(f, maxFileBytes+1))
	if n > maxFileBytes {
		return nil, nil, engine.Errorf(engine.Invalid, "%s is larger than %d MB", plain(t.path), maxFileBytes>>20)
	}
	return info, text.Bytes(), err
}

func (m *module) doUpload(ctx context.Context, c *engine.Call) (engine.Result, error) {
	t, text, mode, err := m.upload(c)
	if err != nil {
		return engine.Result{}, err
	}
	if err := t.over(ctx, func(client *sftp.Client) error { return t.write(client, text, mode) }); err != nil {
		e := *engine.AsError(err)
		e.Maybe = t.sent.Load()
		return engine.Result{}, &e
	}
	return t.uploaded(text), nil
}

func (t *transfer) uploaded(text []byte) engine.Result {
	return engine.Result{Value: engine.Struct{Type: uploadType, Fields: map[string]engine.Value{"path": t.path, "size": int64(len(text))}}}
}

var modeForm = regexp.MustCompile(`^0?[0-7]{3}$`)

// upload reads the arguments of ssh.upload; mode is 0 where none is given.
func (m *module) upload(c *engine.Call) (t *transfer, text []byte, mode os.FileMode, err error) {
	if t, err = m.transfer(c); err != nil {
		return nil, nil, 0, err
	}
	if text, err = content(c.Args["content"]); err != nil || c.Args["content"] == nil {
		return nil, nil, 0, engine.Errorf(engine.Invalid, "%s: content: want a text or bytes", c.Name)
	}
	given := c.Text("mode")
	if given == "" {
		return t, text, 0, nil
	}
	bits, err := strconv.ParseUint(given, 8, 9)
	if err != nil || !modeForm.MatchString(given) {
		return nil, nil, 0, engine.Errorf(engine.Invalid, "%s: mode: got %.20q, want three octal digits, such as 0600", c.Name, given)
	}
	return t, text, os.FileMode(bits), nil
}

const (
	newFileMode = 0o644
	renaming    = "posix-rename@openssh.com"
)

// write writes a file beside the one that is meant and puts it in its place, so
// that nobody sees half of it. A server that cannot gets it written in place.
func (t *transfer) write(client *sftp.Client, text []byte, mode os.FileMode) error {
	info, err := client.Stat(t.path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return engine.Errorf(engine.Invalid, "%s is no file", plain(t.path))
	case err == nil && mode == 0:
		mode = info.Mode().Perm()
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return err
	case mode == 0:
		mode = newFileMode
	}
	if _, ok := client.HasExtension(renaming); !ok {
		t.sent.Store(true)
		return fill(client, t.path, text, mode)
	}
	path := t.path
	if at, err := client.RealPath(t.path); err == nil && info != nil {
		path = at // what a link leads to is replaced, not the link
	}
	sum := sha256.Sum256([]byte(t.call.Key))
	beside := path + ".larkspur-" + hex.EncodeToString(sum[:4])
	if err := fill(client, beside, text, mode); err != nil {
		_ = client.Remove(beside)
		return err
	}
	t.sent.Store(true)
	err = client.PosixRename(beside, path)
	if err != nil {
		_ = client.Remove(beside)
	}
	return err
}

func fill(client *sftp.Client, path string, text []byte, mode os.FileMode) error {
	f, err := client.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	err = f.Chmod(mode) // before anything secret is in it
	if err == nil {
		_, err = f.Write(text)
	}
	return errors.Join(err, f.Close())
}

// probeUpload asks whether the file holds what was to be written.
func (m *module) probeUpload(ctx context.Context, c *engine.Call) (bool, engine.Result, error) {
	t, text, _, err := m.upload(c)
	if err != nil {
		return false, engine.Result{}, err
	}
	same := false
	err = t.over(ctx, func(client *sftp.Client) error {
		_, there, err := t.read(client)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		same = err == nil && bytes.Equal(there, text)
		return err
	})
	return same, t.uploaded(text), err
}
