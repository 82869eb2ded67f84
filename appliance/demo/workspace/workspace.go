// Package workspace holds the files of the workspace that `larkspur demo`
// serves: Netflix while I am away, on a simulated controller and mail server; a shop
// whose page breaks, on a simulated host; and a report that asks for a person.
package workspace

import (
	"embed"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed files
var files embed.FS

// Script returns the text of the demo's playbook.
func Script() string {
	text, err := files.ReadFile("files/scripts/netflix.star")
	if err != nil {
		panic(err) // it is part of this program
	}
	return string(text)
}

// OwnerPhone is the MAC address by which the script knows whether the owner is
// at home: the simulated controller must know a client of that address.
const OwnerPhone = "02:00:00:00:00:01"

// Values are what is known only once the simulators listen.
type Values struct {
	Listen, URL                string // of the web page
	UnifiURL, UnifiFingerprint string
	UnifiUser, UnifiPassword   string
	MailHost                   string
	MailPort                   int
	MailFingerprint            string
	MailUser, MailPassword     string
	// Shop is the web server that breaks, and its host; without an URL there is none.
	ShopURL, ShopUser  string
	ShopPort           int
	ShopKey, ShopKnown string
	// HookSecret is that of the webhook which reports come in by; none: there is none.
	HookSecret string
}

// Write writes the workspace into dir, over what an earlier demo wrote there;
// the state beside it stays.
func Write(dir string, v Values) error {
	made := map[string]string{"secrets/unifi": v.UnifiPassword + "\n", "secrets/smtp": v.MailPassword + "\n"}
	if v.ShopURL != "" {
		made["secrets/shop_key"], made["known_hosts"] = v.ShopKey, v.ShopKnown
	}
	if v.HookSecret != "" {
		made["secrets/help"] = v.HookSecret + "\n"
	}
	for name, text := range made {
		if err := place(filepath.Join(dir, name), text); err != nil {
			return err
		}
	}
	return fs.WalkDir(files, "files", func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := render(at, v)
		if err != nil {
			return err
		}
		return place(filepath.Join(dir, strings.TrimPrefix(at, "files/")), text)
	})
}

// render fills the values in; scripts are taken as they are.
func render(at string, v Values) (string, error) {
	text, err := fs.ReadFile(files, at)
	if err != nil || !strings.HasSuffix(at, ".yaml") {
		return string(text), err
	}
	t, err := template.New(at).Parse(string(text))
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = t.Execute(&out, v)
	return out.String(), err
}

// place writes a file that only its owner may read, and the folders above it.
func place(at, text string) error {
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		return err
	}
	return os.WriteFile(at, []byte(text), 0o600)
}
