package dnsprint

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Logs of resolvers and dnstap are read as captures are, compressed or not.
func TestFeeds(t *testing.T) {
	const dir = "../../../engine/feed/testdata/"
	for file, want := range map[string]struct {
		lines int
		first string
	}{
		"passivedns.log":    {12, `"client": "10.1.1.1", "client_port": 0, "server": "8.8.8.8"`},
		"dnsmasq-extra.log": {36, `"client": "127.0.0.1", "client_port": 58292, "server": ""`},
		"adguard.json":      {4, `"query": "mtalk.google.com"`},
		"unbound.fstrm":     {79, `"server": "127.0.0.1", "server_port": 5401`},
	} {
		plain, err := os.ReadFile(dir + file)
		if err != nil {
			t.Fatal(err)
		}
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		z.Write(plain)
		z.Close()
		path := filepath.Join(t.TempDir(), file+".gz")
		if err := os.WriteFile(path, packed.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{dir + file, path} {
			code, stdout, stderr := run(t, nil, path)
			if code != 0 || strings.Count(stdout, "\n") != want.lines || !strings.Contains(stdout, want.first) {
				t.Errorf("%s: exit %d, %d lines, %s", path, code, strings.Count(stdout, "\n"), stderr)
			}
		}
	}
}

func TestFeedsByAPipe(t *testing.T) {
	line := "client 192.0.2.7#4000 (a.example): query: a.example IN A + (192.0.2.53)\n"
	if code, stdout, stderr := run(t, strings.NewReader(line), "--format", "bind", "-"); code != 0 || !strings.Contains(stdout, `"query": "a.example"`) {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
	for args, want := range map[string]string{
		"--format knot -":          `--format: got "knot", want one of passivedns, dnstap, dnsmasq, unbound, bind, adguard`,
		"--format bind -i lo":      "--format is of files, not of interfaces",
		"--format dnstap feed.go":  "not a Frame Streams stream of dnstap",
		"--format bind nosuchfile": "no such file",
	} {
		if code, _, stderr := run(t, nil, strings.Fields(args)...); code == 0 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, %s", args, code, stderr)
		}
	}
}
