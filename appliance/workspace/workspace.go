// Package workspace holds the files of a new workspace: what `larkspur init`
// writes. It passes `larkspur check` and runs at once, without a connection.
package workspace

import (
	"crypto/rand"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"text/template"

	"larkspur/engine"
)

//go:embed files
var files embed.FS

// hookSecret is the secret that guards the example's webhook.
const hookSecret = "secrets/hello"

// renamed are files whose own names would have a meaning in this repository.
var renamed = map[string]string{"gitignore": ".gitignore"}

// private are files that only their owner may read.
var private = map[string]bool{"box.yaml": true, hookSecret: true}

// Write writes a new workspace into dir, which is made if need be and must be
// empty but for a .git. Errors are of kind conflict when it is not.
func Write(dir string) error {
	if err := vacant(dir); err != nil {
		return err
	}
	content, err := render(dir)
	if err != nil {
		return err
	}
	for name, text := range content {
		if err := place(filepath.Join(dir, name), text, private[name]); err != nil {
			return err
		}
	}
	return nil
}

// Next says what to do with a workspace that was just written.
func Next(dir string) string {
	return fmt.Sprintf(`wrote a workspace into %[1]s

next:
  larkspur check %[1]s    says what is wrong: nothing, but that questions are not mailed yet
  larkspur test %[1]s     runs its tests
  larkspur serve %[1]s    starts it, and says how to sign in

then read %[2]s; it begins with a curl to try.
`, dir, filepath.Join(dir, "scripts", "hello.star"))
}

// vacant refuses a folder that holds anything but a repository.
func vacant(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return engine.WrapError(engine.Invalid, err, fmt.Sprintf("init %q", dir))
	}
	for _, e := range entries {
		if e.Name() != ".git" {
			return engine.Errorf(engine.Conflict, "init %q: the folder is not empty: it holds %q", dir, e.Name()).
				WithHint("name a new folder; one with only a .git is fine, too")
		}
	}
	return nil
}

// render makes the text of every file by its path.
func render(dir string) (map[string]string, error) {
	full, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	key := make([]byte, 24)
	rand.Read(key) // never fails
	content := map[string]string{hookSecret: "whsec_" + base64.StdEncoding.EncodeToString(key) + "\n"}
	err = fs.WalkDir(files, "files", func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, at)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(at, "files/")
		if other, ok := renamed[path.Base(name)]; ok {
			name = other
		}
		content[name] = string(text)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out strings.Builder
	t, err := template.New("larkspur.yaml").Parse(content["larkspur.yaml"])
	if err == nil {
		err = t.Execute(&out, struct{ Name string }{filepath.Base(full)})
	}
	content["larkspur.yaml"] = out.String()
	return content, err
}

// place writes a file that does not exist, and the folders above it.
func place(at, text string, private bool) error {
	folder, mode := os.FileMode(0o755), os.FileMode(0o644)
	if private {
		mode = 0o600
	}
	if filepath.Base(filepath.Dir(at)) == "secrets" {
		folder = 0o700
	}
	if err := os.MkdirAll(filepath.Dir(at), folder); err != nil {
		return err
	}
	out, err := os.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = out.WriteString(text)
	return errors.Join(err, out.Close())
}
