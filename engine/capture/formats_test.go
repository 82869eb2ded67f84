package capture

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"larkspur/engine/capture/capturetest"
)

// wireshark runs a program of Wireshark that makes a file, and returns the file.
func wireshark(t *testing.T, program string, args ...string) []byte {
	t.Helper()
	found, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("needs %s: %v", program, err)
		}
		t.Skipf("needs %s: %v", program, err)
	}
	path := filepath.Join(t.TempDir(), "out")
	for i := range args {
		if args[i] == "OUT" {
			args[i] = path
		}
	}
	cmd := exec.Command(found, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", cmd, err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// saved writes a file and returns its path.
func saved(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestFormatsThatWiresharkWrites has our files of every format and link type
// rewritten by editcap, so that both have to agree on each.
func TestFormatsThatWiresharkWrites(t *testing.T) {
	o := busy
	o.Packets = 400
	for name, format := range everyFormat() {
		format.Micro = true // all of the formats below can say these times
		file, _, _ := house(t, 9, o, format)
		want := readAll(t, file, 0, questions["all"])
		path := saved(t, "in", file)
		for _, kind := range []string{"pcap", "nsecpcap", "modpcap", "pcapng"} {
			t.Run(name+" as "+kind, func(t *testing.T) {
				got := readAll(t, wireshark(t, "editcap", "-F", kind, path, "OUT"), 0, questions["all"])
				if !slices.Equal(got.messages, want.messages) || got.err != "" || got.stats.Source.Frames != want.stats.Source.Frames {
					t.Errorf("got %d messages of %d frames, %q; want %d of %d", len(got.messages), got.stats.Source.Frames, got.err,
						len(want.messages), want.stats.Source.Frames)
				}
			})
		}
	}
}

// TestSeveralInterfacesInOneFile has mergecap put captures of several link types and
// resolutions into one file.
func TestSeveralInterfacesInOneFile(t *testing.T) {
	o := busy
	o.Packets = 300
	var paths []string
	var want uint64
	for i, format := range []capturetest.Format{ethernet, {Link: 101, Micro: true}, {Link: 276, NG: true}, {Link: 0}} {
		file, _, truth := house(t, uint64(20+i), o, format)
		paths, want = append(paths, saved(t, "in", file)), want+truth.Messages
	}
	file := wireshark(t, "mergecap", append([]string{"-F", "pcapng", "-I", "none", "-w", "OUT"}, paths...)...)
	got := readAll(t, file, 0, questions["all"])
	if uint64(len(got.messages)) != want || got.err != "" {
		t.Fatalf("got %d messages, %q; want %d", len(got.messages), got.err, want)
	}
	twice := append(bytes.Clone(file), file...) // two sections, of which TCP repeats itself
	again := readAll(t, twice, 0, questions["all"])
	if again.stats.Source.Frames != 2*got.stats.Source.Frames || again.err != "" {
		t.Errorf("two sections: got %d frames, %q; want %d", again.stats.Source.Frames, again.err, 2*got.stats.Source.Frames)
	}
	for _, data := range [][]byte{twice, gzipped(twice), append(gzipped(file), gzipped(file)...), append(zstandard(file), zstandard(file)...)} {
		compare(t, scanAll(t, data, 0, 3, questions["all"]), again)
	}
}
