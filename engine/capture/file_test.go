package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/capture/capturetest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

func exchanges(n int) func(w *capturetest.Writer) {
	return func(w *capturetest.Writer) {
		for i := range n {
			w.Exchange(lookup(i))
		}
	}
}

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(data)
	w.Close()
	return b.Bytes()
}

func zstandard(data []byte) []byte {
	w, _ := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	return w.EncodeAll(data, nil)
}

func TestEveryFormatGivesTheSameMessages(t *testing.T) {
	big, little := binary.BigEndian, binary.LittleEndian
	plain := func(b []byte) []byte { return b }
	for name, test := range map[string]struct {
		format   capturetest.Format
		compress func([]byte) []byte
	}{
		"pcap little nano":   {capturetest.Format{Order: little, Link: 1}, plain},
		"pcap little micro":  {capturetest.Format{Order: little, Link: 1, Micro: true}, plain},
		"pcap big nano":      {capturetest.Format{Order: big, Link: 1}, plain},
		"pcap big micro":     {capturetest.Format{Order: big, Link: 1, Micro: true}, plain},
		"pcapng little nano": {capturetest.Format{Order: little, Link: 1, NG: true}, plain},
		"pcapng big micro":   {capturetest.Format{Order: big, Link: 1, NG: true, Micro: true}, plain},
		"pcap gzip":          {ethernet, gzipped},
		"pcap zstd":          {ethernet, zstandard},
		"pcapng gzip":        {capturetest.Format{Link: 1, NG: true}, gzipped},
	} {
		t.Run(name, func(t *testing.T) {
			messages, stats := mustRead(t, test.compress(written(test.format, exchanges(3))))
			if len(messages) != 6 || stats.Source.Frames != 6 || stats.Queries != 3 || stats.Responses != 3 {
				t.Fatalf("got %d messages of %d frames, %d queries, %d responses; want 6, 6, 3, 3",
					len(messages), stats.Source.Frames, stats.Queries, stats.Responses)
			}
			m := messages[5]
			want := start.Add(2*time.Second + time.Millisecond)
			if test.format.Micro {
				want = want.Truncate(time.Microsecond)
			}
			if !m.Time.Equal(want) || m.Time.Location() != time.UTC {
				t.Errorf("time: got %v, want %v", m.Time, want)
			}
			if string(m.Name) != "host2.example.org" || m.ID != 2 || !m.Response() {
				t.Errorf("got %s, id %d, response %v; want host2.example.org, 2, true", m.Name, m.ID, m.Response())
			}
		})
	}
}

func TestCutFileGivesAllBeforeTheCut(t *testing.T) {
	for name, format := range map[string]capturetest.Format{"pcap": ethernet, "pcapng": {Link: 1, NG: true}} {
		t.Run(name, func(t *testing.T) {
			var whole bytes.Buffer
			w := capturetest.NewFormatWriter(&whole, format)
			ends := []int{whole.Len()} // of the file header, then of each packet
			for i := range 3 {
				w.Query(lookup(i))
				ends = append(ends, whole.Len())
				w.Response(lookup(i))
				ends = append(ends, whole.Len())
			}
			for cut := range whole.Len() + 1 {
				complete, clean := -1, false
				for _, end := range ends {
					if end <= cut {
						complete++
						clean = end == cut
					}
				}
				messages, _, err := read(t, whole.Bytes()[:cut])
				if len(messages) != max(complete, 0) {
					t.Fatalf("cut at %d: got %d messages, want %d", cut, len(messages), max(complete, 0))
				}
				if format.NG && (cut == 28) { // between section and interface
					clean = true
				}
				if (err == nil) != clean {
					t.Fatalf("cut at %d: got error %v, want one: %v", cut, err, !clean)
				}
				if cut >= 4 && err != nil && !errors.Is(err, ErrTruncated) {
					t.Fatalf("cut at %d: got %v, want it to wrap ErrTruncated", cut, err)
				}
			}
		})
	}
}

func TestCutCompressedFile(t *testing.T) {
	data := written(ethernet, exchanges(200))
	for name, compressed := range map[string][]byte{"gzip": gzipped(data), "zstd": zstandard(data)} {
		for cut := 1; cut < len(compressed); cut += 97 {
			messages, _, err := read(t, compressed[:cut])
			if err == nil {
				t.Fatalf("%s cut at %d of %d: got no error and %d messages", name, cut, len(compressed), len(messages))
			}
			if cut >= 4 && !errors.Is(err, ErrTruncated) {
				t.Fatalf("%s cut at %d: got %v, want it to wrap ErrTruncated", name, cut, err)
			}
		}
	}
	messages, _, err := read(t, gzipped(data)[:len(gzipped(data))-8])
	if len(messages) != 400 || err == nil {
		t.Errorf("gzip without its checksum: got %d messages and error %v, want 400 and an error", len(messages), err)
	}
}

func TestErrorsSayWhatAndWhere(t *testing.T) {
	whole := written(ethernet, exchanges(1))
	hugeLength := bytes.Clone(whole)
	binary.LittleEndian.PutUint32(hugeLength[24+8:], 1<<30)
	ng := capturetest.Format{Link: 1, NG: true}
	noInterface := written(ng, func(w *capturetest.Writer) {
		w.Block(blockPacket, binary.LittleEndian.AppendUint32(make([]byte, 0), 7))
	})
	wrongNumber := written(ng, func(w *capturetest.Writer) {
		w.Block(blockPacket, append(binary.LittleEndian.AppendUint32(nil, 7), make([]byte, 16)...))
	})
	resolution := written(ng, func(w *capturetest.Writer) {
		w.Block(blockInterface, []byte{1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0, 0x7f, 0, 0, 0})
	})
	wrongEnd := written(ng, exchanges(1))
	wrongEnd[len(wrongEnd)-1] ^= 1
	wrongVersion := written(ng, exchanges(1))
	wrongVersion[12] = 9
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"empty":         {nil, `capture "test": not a capture file: the file is empty`},
		"two bytes":     {[]byte("hi"), `capture "test": not a capture file: the file has only 2 bytes`},
		"text":          {[]byte("hello, world"), `capture "test": not a capture file: it begins with the bytes 68656c6c`},
		"cut packet":    {whole[:24+16+10], `capture "test": byte 24: the file ends too early: 67 bytes of the packet are missing`},
		"cut header":    {whole[:24+3], `capture "test": byte 24: the file ends too early: 13 bytes of the packet header are missing`},
		"huge":          {hugeLength, `capture "test": byte 24: packet header: a length of 1073741824 bytes, want at most 262144`},
		"short block":   {noInterface, `capture "test": byte 60: packet block: 4 bytes, want 20 or more`},
		"no interface":  {wrongNumber, `capture "test": byte 60: packet block: interface 7, but the section declares 1`},
		"resolution":    {resolution, `capture "test": byte 60: interface block: a time resolution of 0x7f, want at most 10^-19 or 2^-63`},
		"block end":     {wrongEnd, `block of type 6: begins with length 128 and ends with 16777344`},
		"ng version":    {wrongVersion, `capture "test": byte 0: section header: version 9, want 1`},
		"gzip of text":  {gzipped([]byte("hello, world")), `not a capture file: it begins with the bytes 68656c6c`},
		"gzip, nothing": {[]byte{0x1f, 0x8b, 8, 0}, `capture "test": byte 0: gzip header: the file ends too early`},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := read(t, test.data)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %s", err, test.want)
			}
			if kind := engine.AsError(err).Kind; kind != engine.Invalid {
				t.Errorf("kind: got %s, want invalid", kind)
			}
		})
	}
}

func TestOpenSaysWhatToDo(t *testing.T) {
	_, err := Open(t.Context(), filepath.Join(t.TempDir(), "none.pcap"))
	if !errors.Is(err, fs.ErrNotExist) || engine.AsError(err).Kind != engine.NotFound || engine.AsError(err).Hint == "" {
		t.Errorf("got %#v, want kind not_found with a hint", err)
	}
	if _, err := Open(t.Context(), t.TempDir()); err == nil {
		t.Error("opening a directory: got no error")
	}
	path := filepath.Join(t.TempDir(), "one.pcap")
	if err := os.WriteFile(path, written(ethernet, exchanges(1)), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := src.Close(); err != nil {
		t.Errorf("close: got %v", err)
	}
}

func TestPcapNGBlocksOfOtherKinds(t *testing.T) {
	data := written(capturetest.Format{Link: 1, NG: true}, func(w *capturetest.Writer) {
		w.Block(0x0bad, make([]byte, 2<<20)) // longer than the buffer
		frame := lookup(0).QueryFrame()
		simple := binary.LittleEndian.AppendUint32(nil, uint32(len(frame)))
		w.Block(blockSimple, append(simple, frame...))
		w.Query(lookup(1))
		w.Block(5, make([]byte, 12)) // interface statistics
		old := append([]byte{0, 0, 0xff, 0xff}, make([]byte, 8)...)
		old = binary.LittleEndian.AppendUint32(old, uint32(len(frame)))
		old = binary.LittleEndian.AppendUint32(old, uint32(len(frame)))
		w.Block(blockPacketOld, append(old, frame...))
		w.Block(blockSimple, append(simple, frame...))
	})
	messages, stats := mustRead(t, append(data, data...)) // two sections
	if len(messages) != 8 || stats.Source.Untimed != 4 {
		t.Fatalf("got %d messages, %d without time; want 8 and 4", len(messages), stats.Source.Untimed)
	}
	if got := messages[0].Time; !got.Equal(time.Unix(0, 0)) {
		t.Errorf("simple packet at the start: got %v, want 1970", got)
	}
	if got := messages[3].Time; !got.Equal(time.Unix(0, 0)) {
		t.Errorf("simple packet after one at 0: got %v, want 1970", got)
	}
}

func TestTimeResolutions(t *testing.T) {
	for _, test := range []struct {
		resolution byte
		offset     int64
		stamp      uint64
		want       time.Time
	}{
		{6, 0, 1_500_000, time.Unix(1, 500_000_000)},
		{9, 0, 1_500_000_000, time.Unix(1, 500_000_000)},
		{3, 0, 1500, time.Unix(1, 500_000_000)},
		{0, 0, 7, time.Unix(7, 0)},
		{12, 0, 1_500_000_000_999, time.Unix(1, 500_000_000)},
		{19, 0, 15_000_000_000_000_000_000, time.Unix(1, 500_000_000)},
		{0x80 | 10, 0, 1536, time.Unix(1, 500_000_000)},
		{0x80 | 63, 0, 1<<63 + 1<<62, time.Unix(1, 500_000_000)},
		{6, 100, 1_500_000, time.Unix(101, 500_000_000)},
		{6, -1, 1_500_000, time.Unix(0, 500_000_000)},
	} {
		it := ngInterface{perSec: unitsPerSecond(test.resolution), seconds: test.offset}
		if got, ok := it.nanos(test.stamp); !ok || got != test.want.UnixNano() {
			t.Errorf("resolution %#x, offset %d: got %v %v, want %v", test.resolution, test.offset, got, ok, test.want)
		}
	}
	for _, it := range []ngInterface{
		{perSec: 1, seconds: 0}, {perSec: 1e6, seconds: 1 << 62}, {perSec: 1e6, seconds: -1 << 63},
	} {
		if got, ok := it.nanos(1 << 63); ok {
			t.Errorf("%+v: got %v, want it refused", it, got)
		}
	}
}

func TestContextEndsTheWaitForAPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := w.Write(written(ethernet, exchanges(1))); err != nil {
		t.Fatal(err)
	}
	src, err := NewFile(t.Context(), "pipe", r)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	reader := NewReader(src)
	for range 2 {
		if _, err := reader.Next(ctx); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if _, err := reader.Next(ctx); err != context.Canceled {
		t.Fatalf("got %v, want context.Canceled", err)
	}
	w.Write(written(ethernet, exchanges(1))[24:])
	w.Close()
	for range 2 {
		if _, err := reader.Next(t.Context()); err != nil {
			t.Fatalf("going on after a context: got %v", err)
		}
	}
	if _, err := reader.Next(t.Context()); err != io.EOF {
		t.Errorf("got %v, want io.EOF", err)
	}
}

func TestContextEndsTheWaitForTheFirstBytes(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewFile(ctx, "pipe", r); err != context.Canceled {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestErrorIsFinal(t *testing.T) {
	src, err := NewFile(t.Context(), "test", bytes.NewReader(written(ethernet, exchanges(1))[:60]))
	if err != nil {
		t.Fatal(err)
	}
	var f Frame
	first, second := src.Next(t.Context(), &f), src.Next(t.Context(), &f)
	if first == nil || first != second {
		t.Errorf("got %v, then %v; want the same error twice", first, second)
	}
}
