package ledger_test

import (
	"bytes"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"larkspur/engine/ledger"
)

// scopes are exports of every scope.
func (f *fixture) scopes(t testing.TB) map[string][]byte {
	return map[string][]byte{
		"all":      f.export(t, ledger.Selection{}),
		"range":    f.export(t, ledger.Selection{Since: morning.Add(3 * time.Minute)}),
		"selected": f.export(t, ledger.Selection{Incident: "i0-1", Covers: func(r ledger.Record) bool { return r.Header.Record%3 != 1 }}),
	}
}

// tampered are exports that were tampered with in every way that the tests name.
func tampered(good map[string][]byte) map[string][]byte {
	bad := map[string][]byte{"empty": nil, "no export": []byte("{}\n")}
	for scope, file := range good {
		lines := split(file)
		for name, edit := range edits {
			changed := slices.Clone(lines)
			changed[5] = regexp.MustCompile(edit[0]).ReplaceAllString(strings.TrimSuffix(lines[5], "\n"), edit[1]) + "\n"
			bad[scope+" "+name] = join(changed)
		}
		bad[scope+" dropped"] = join(slices.Concat(lines[:4], lines[5:]))
		bad[scope+" twice"] = join(slices.Concat(lines[:4], lines[3:]))
		bad[scope+" swapped"] = join(slices.Concat(lines[:3], lines[4:5], lines[3:4], lines[5:]))
		bad[scope+" cut"] = file[:len(file)/2]
		bad[scope+" without a last line end"] = file[:len(file)-1]
		bad[scope+" other shard"] = bytes.ReplaceAll(file, []byte(`"shard":0`), []byte(`"shard":1`))
		bad[scope+" two ends"] = append(bytes.Clone(file), lines[len(lines)-2]...)
		bad[scope+" unused bits of a signature"] = regexp.MustCompile(`(.)=(\\n"\}\}\n)$`).ReplaceAllFunc(bytes.Clone(file), func(end []byte) []byte {
			end[0]++ // w to x, …: two bits that base64 does not use
			return end
		})
		bad[scope+" months"] = bytes.ReplaceAll(file, []byte("2026-11-22T"), []byte("2026-02-30T"))
	}
	return bad
}

// sameReport holds the fast readers against those that define the format.
func sameReport(t *testing.T, file []byte, key string) *ledger.Report {
	t.Helper()
	fast, err := ledger.Verify(bytes.NewReader(file), key)
	if err != nil {
		t.Fatal(err)
	}
	exact, err := ledger.VerifyExactly(bytes.NewReader(file), key)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(fast, exact) {
		t.Errorf("got %+v, want %+v for %.300q", fast, exact, file)
	}
	return fast
}

func TestFastAndExactReadersAgree(t *testing.T) {
	t.Parallel()
	f := house(t, 1, 270)
	f.erase(t, 0, 3)
	good := f.scopes(t)
	bad := tampered(good)
	for name, file := range good {
		if r := sameReport(t, file, f.signer.Verifier); !r.OK() {
			t.Errorf("%s: got %v", name, r.Findings)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(bad)) {
		if r := sameReport(t, bad[name], f.signer.Verifier); r.OK() {
			t.Errorf("%s: it verifies", name)
		}
	}
	long := bytes.Repeat([]byte("x"), 3<<20)
	for _, file := range [][]byte{long, append(bytes.Clone(good["all"]), long...), slices.Concat(good["all"], long, []byte("\n\n{}"))} {
		sameReport(t, file, f.signer.Verifier)
	}
}

// kept are exports of version 1, of 20 records whose seventh was erased, and the
// key that signed them. They must verify for as long as the format has that
// version.
func kept(t testing.TB) (files map[string][]byte, key string) {
	t.Helper()
	files = map[string][]byte{}
	for _, name := range []string{"all.jsonl", "range.jsonl", "selected.jsonl", "key"} {
		b, err := os.ReadFile("testdata/exports/" + name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = b
	}
	key = string(files["key"])
	delete(files, "key")
	return files, key
}

func TestKeptExportsVerify(t *testing.T) {
	files, key := kept(t)
	for name, file := range files {
		if r := verify(t, file, key); !r.OK() || name != "selected.jsonl" && r.Erased != 1 {
			t.Errorf("%s: got %d erased and %v, want one and no finding", name, r.Erased, r.Findings)
		}
	}
}

// FuzzVerify holds both readers against each other, and that no other file than
// those that were exported verifies.
func FuzzVerify(f *testing.F) {
	good, key := kept(f)
	for _, files := range []map[string][]byte{good, tampered(good)} {
		for _, name := range slices.Sorted(maps.Keys(files)) {
			f.Add(files[name])
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if r := sameReport(t, file, key); !r.OK() {
			return
		}
		for _, g := range good {
			if bytes.Equal(g, file) {
				return
			}
		}
		t.Errorf("a changed file verifies: %.300q", file)
	})
}
