package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"

	"larkspur/engine/capture/capturetest"
)

// reading is what reading a file came to.
type reading struct {
	messages []string
	stats    Stats
	err      string
}

// tell writes down everything that a message says.
func tell(m *Message) string {
	return fmt.Sprintf("%v %v %v %v %v %v %v %x %v %d %x %v %s %d %d %s %v",
		m.Time, m.Client, m.Server, m.Proto, m.Service, m.ClientMAC, m.VLANs, m.Raw, m.Cut, m.ID, m.Flags, m.Question, m.Name, m.Type, m.Class, m.Rcode(), m.counts)
}

// openTest opens a file in memory that is read in pieces of this size.
func openTest(t testing.TB, data []byte, readSize int) (*File, error) {
	f, err := NewFile(t.Context(), "test", bytes.NewReader(data))
	if err == nil && readSize > 0 {
		f.readSize = readSize
	}
	return f, err
}

// readAll is what a Reader says of a file.
func readAll(t testing.TB, data []byte, readSize int, wants func(*Message) bool) (x reading) {
	f, err := openTest(t, data, readSize)
	if err != nil {
		return reading{err: err.Error()}
	}
	defer f.Close()
	r := NewReader(f)
	for {
		m, err := r.Next(t.Context())
		if err != nil {
			if err != io.EOF {
				x.err = err.Error()
			}
			x.stats = r.Stats()
			return x
		}
		if wants(m) {
			x.messages = append(x.messages, tell(m))
		}
	}
}

// always makes the same judge.
func always(wants func(*Message) bool) func() func(*Message) bool {
	return func() func(*Message) bool { return wants }
}

// scanAll is what a Scan says of it.
func scanAll(t testing.TB, data []byte, readSize, workers int, wants func(*Message) bool) (x reading) {
	f, err := openTest(t, data, readSize)
	if err != nil {
		return reading{err: err.Error()}
	}
	defer f.Close()
	s := NewScan(f, workers, always(wants))
	err = s.Run(t.Context(), func(m *Message) error {
		x.messages = append(x.messages, tell(m))
		return nil
	})
	if err != nil {
		x.err = err.Error()
	}
	x.stats = s.Stats()
	return x
}

// compare holds two ways of reading against each other.
func compare(t testing.TB, got, want reading) {
	t.Helper()
	for i := range min(len(got.messages), len(want.messages)) {
		if got.messages[i] != want.messages[i] {
			t.Fatalf("message %d: got\n%s, want\n%s", i, got.messages[i], want.messages[i])
		}
	}
	if len(got.messages) != len(want.messages) || !reflect.DeepEqual(got.stats, want.stats) || got.err != want.err {
		t.Fatalf("got %d messages, %+v, error %q; want %d, %+v, %q", len(got.messages), got.stats, got.err, len(want.messages), want.stats, want.err)
	}
}

// questions are what may be wanted of a capture.
var questions = map[string]func(*Message) bool{
	"all":       func(*Message) bool { return true },
	"none":      func(*Message) bool { return false },
	"some":      func(m *Message) bool { return strings.HasSuffix(string(m.Name), ".com") },
	"responses": (*Message).Response,
}

func TestScanSaysWhatAReaderSays(t *testing.T) {
	o := busy
	o.Packets = 800
	for name, format := range everyFormat() {
		t.Run(name, func(t *testing.T) {
			file, _, _ := house(t, 4, o, format)
			for question, wants := range questions {
				want := readAll(t, file, 0, wants)
				if question != "none" && len(want.messages) == 0 {
					t.Fatal("no messages")
				}
				for workers := 1; workers <= 3; workers++ {
					for _, readSize := range []int{0, 5000} {
						compare(t, scanAll(t, file, readSize, workers, wants), want)
					}
				}
			}
		})
	}
}

func TestScanOfTinyPieces(t *testing.T) {
	file, _, _ := house(t, 5, capturetest.TrafficOptions{Packets: 80, TCP: 100_000, Large: 100_000}, ethernet)
	all := questions["all"]
	want := readAll(t, file, 0, all)
	for _, compressed := range [][]byte{file, gzipped(file), zstandard(file), append(gzipped(file[:999]), gzipped(file[999:])...)} {
		for readSize := 1; readSize < 40; readSize += 3 {
			compare(t, readAll(t, compressed, readSize, all), want)
			compare(t, scanAll(t, compressed, readSize, 2, all), want)
		}
	}
}

// TestEveryCutGivesAllBeforeIt cuts files at every byte of a range: the complete
// packets before the cut are read, and then the cut is said.
func TestEveryCutGivesAllBeforeIt(t *testing.T) {
	o := capturetest.TrafficOptions{Packets: 60, Other: 1, Multicast: -1, Large: -1, TCP: -1}
	for name, format := range map[string]capturetest.Format{"pcap": ethernet, "pcapng": {Link: 1, NG: true}} {
		file, said, _ := house(t, 6, o, format)
		want := readAll(t, file, 0, questions["all"])
		if len(want.messages) != len(said) {
			t.Fatalf("got %d messages, want %d", len(want.messages), len(said))
		}
		for suffix, compress := range map[string]func([]byte) []byte{"": bytes.Clone, ".gz": gzipped, ".zst": zstandard} {
			data := compress(file)
			t.Run(name+suffix, func(t *testing.T) {
				seen := 0
				for cut := 4; cut < min(len(data), 1500); cut++ {
					got := readAll(t, data[:cut], 0, questions["all"])
					if cut%7 == 0 {
						compare(t, scanAll(t, data[:cut], 0, 2, questions["all"]), got)
					}
					for i, m := range got.messages {
						if m != want.messages[i] {
							t.Fatalf("cut at %d: message %d: got %s, want %s", cut, i, m, want.messages[i])
						}
					}
					if len(got.messages) < seen {
						t.Fatalf("cut at %d: got %d messages, fewer than of less of the file", cut, len(got.messages))
					}
					if seen = len(got.messages); suffix == "" && seen != completeIn(t, format, file[:cut]) {
						t.Fatalf("cut at %d: got %d messages, want %d", cut, seen, completeIn(t, format, file[:cut]))
					}
				}
			})
		}
	}
}

// completeIn counts the packets that lie whole in a file of ours, by its lengths
// alone.
func completeIn(t *testing.T, format capturetest.Format, data []byte) (n int) {
	at, lengthAt, overhead := 24, 8, 16
	if format.NG {
		at, lengthAt, overhead = 28+32, 4, 0
	}
	for at+lengthAt+4 <= len(data) {
		b := data[at+lengthAt:]
		at += overhead + int(b[0]) + int(b[1])<<8
		if at <= len(data) {
			n++
		}
	}
	return n
}

func TestScanStops(t *testing.T) {
	file, _, _ := house(t, 7, busy, ethernet)
	f, err := openTest(t, file, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	failure, n := errors.New("enough"), 0
	err = NewScan(f, 2, always(questions["all"])).Run(t.Context(), func(*Message) error {
		if n++; n == 100 {
			return failure
		}
		return nil
	})
	if err != failure || n != 100 {
		t.Errorf("got %v after %d messages, want %v after 100", err, n, failure)
	}
}

func TestScanGoesOnUnderAnotherContext(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w.Write(written(ethernet, exchanges(2)))
	src, err := NewFile(t.Context(), "pipe", r)
	if err != nil {
		t.Fatal(err)
	}
	s, n := NewScan(src, 2, always(questions["all"])), 0
	ctx, cancel := context.WithCancel(t.Context())
	tell := func(*Message) error {
		if n++; n == 4 {
			cancel()
		}
		return nil
	}
	if err := s.Run(ctx, tell); err != context.Canceled || n != 4 {
		t.Fatalf("got %v after %d messages, want context.Canceled after 4", err, n)
	}
	w.Write(written(ethernet, exchanges(1))[24:])
	w.Close()
	if err := s.Run(t.Context(), tell); err != nil || n != 6 || s.Stats().Messages != 6 {
		t.Errorf("going on: got %v after %d messages, want 6", err, n)
	}
}
