package bench

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// ours is the test program of one of Larkspur's packages.
type ours struct{ program, dir string }

func build(b *testing.B, pkg string) ours {
	b.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		b.Fatal(err)
	}
	program := filepath.Join(b.TempDir(), filepath.Base(pkg)+".test")
	run(b, root, "go", "test", "-c", "-o", program, pkg)
	return ours{program, filepath.Join(root, pkg)}
}

// figure runs some rounds of one benchmark, and returns what it printed before a
// unit.
func (o ours) figure(b *testing.B, benchmark string, rounds int, unit string) float64 {
	b.Helper()
	cmd := exec.Command(o.program, "-test.run", "^$", "-test.bench", benchmark, "-test.benchtime", strconv.Itoa(rounds)+"x")
	cmd.Dir, cmd.Env = o.dir, append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	v, err := figure(string(out), unit)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// figure finds the number before a unit in what a benchmark printed.
func figure(text, unit string) (float64, error) {
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if i := slices.Index(words, unit); i > 0 && strings.HasPrefix(words[0], "Benchmark") {
			return strconv.ParseFloat(words[i-1], 64)
		}
	}
	return 0, fmt.Errorf("no figure in %s in:\n%s", unit, text)
}
