package store

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// crashed returns a folder as a process leaves it that was killed after a commit,
// and where the synced part of its log ends.
func crashed(t *testing.T) (dir, log string, end int64) {
	t.Helper()
	s, err := OpenLedger(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	view := s.View()
	b := NewBatch(view)
	b.Set([]byte("key"), bytes.Repeat([]byte("value"), 1000))
	view.Close()
	if err := s.Commit(b); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("got logs %v and error %v, want one", logs, err)
	}
	log = logs[0]
	end, broken, err := readable(log)
	if err != nil || broken || end < 5000 {
		t.Fatalf("got the end %d, broken %v, error %v, want it behind the value", end, broken, err)
	}
	return dir, log, end
}

// What lies behind the last synced entry is anything: flash returns ones where
// a write was cut off. Badger alone refuses to open the first two, panics at the
// third and fifth, and makes a buffer of 4 GB for the fourth.
func TestWhatACrashLeavesBehindTheLogIsCutOff(t *testing.T) {
	for _, c := range []struct {
		name string
		tail []byte
	}{
		{"ones", bytes.Repeat([]byte{0xff}, 4096)},
		{"an overflowing expiry", append([]byte{0, 0, 3, 5}, bytes.Repeat([]byte{0x80}, 12)...)},
		{"a value of 4 GB", []byte{0x40, 0, 3, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 'k', 'e', 'y'}},
		{"no key and a value of 4 GB", []byte{0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0}},
		{"lengths that add up to little", []byte{0x40, 0, 0x64, 0xce, 0xff, 0xff, 0xff, 0x0f, 0}},
		{"a whole head and a wrong sum", append([]byte{0x40, 0, 3, 5, 0}, "keyvaluesum!"...)},
		{"half a head", []byte{0x40, 0, 0x83}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, log, end := crashed(t)
			f, err := os.OpenFile(log, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(c.tail, end); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			s, err := OpenLedger(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			view := s.View()
			defer view.Close()
			if v, ok := view.Get([]byte("key")); !ok || len(v) != 5000 {
				t.Errorf("got a value of %d bytes, %v, want what was committed", len(v), ok)
			}
		})
	}
}

func FuzzTail(f *testing.F) {
	f.Add([]byte{0x40, 0, 3, 5, 0, 'k', 'e', 'y', 'v', 'a', 'l', 'u', 'e', 1, 2, 3, 4, 0xff})
	f.Add(bytes.Repeat([]byte{0xff}, 64))
	f.Add(make([]byte, 64))
	path := filepath.Join(f.TempDir(), "00001.mem")
	f.Fuzz(func(t *testing.T, tail []byte) {
		log := append(make([]byte, logHeaderBytes), tail...)
		if err := os.WriteFile(path, log, 0o600); err != nil {
			t.Fatal(err)
		}
		end, _, err := readable(path)
		if err != nil || end > int64(len(log)) {
			t.Errorf("got the end %d of %d bytes and error %v", end, len(log), err)
		}
	})
}
