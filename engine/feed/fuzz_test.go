package feed

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"larkspur/engine/capture"
)

// seeds adds the lines of a file of testdata.
func seeds(f *testing.F, file string) {
	f.Helper()
	in, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(in)
}

// fuzzLog holds that whatever a log says is bounded, and that each line is counted
// once.
func fuzzLog(f *testing.F, format Format, files ...string) {
	for _, file := range files {
		seeds(f, file)
	}
	format.Now = moment
	f.Fuzz(func(t *testing.T, in []byte) {
		x, err := Read("fuzz", bufio.NewReader(bytes.NewReader(in)), format)
		if err != nil {
			t.Fatal(err)
		}
		for {
			m, err := x.Next(t.Context())
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			sane(t, m)
		}
		s := x.Stats()
		if s.Source.Bytes > uint64(len(in)) || s.Messages != s.Queries+s.Responses {
			t.Errorf("got %+v of %d bytes", s, len(in))
		}
	})
}

// sane holds that a message can be asked for all that it says.
func sane(t *testing.T, m *capture.Message) {
	t.Helper()
	if m.Time.IsZero() || m.Time.Year() > 9999 || len(m.Name) > 4*255 {
		t.Errorf("got time %v and a name of %d bytes", m.Time, len(m.Name))
	}
	m.Fields()
}

func FuzzPassivedns(f *testing.F) {
	fuzzLog(f, Format{Kind: Passivedns}, "passivedns.log", "passivedns.json")
}
func FuzzPassivednsFields(f *testing.F) {
	f.Add([]byte("2026-11-22 20:14:26.000001||h||192.0.2.7||02:00:00:00:00:07||192.0.2.53||02:00:00:00:00:53||tcp||IN||a.example.||10||A||192.0.2.1||9||60||1\n"))
	fuzzLog(f, Format{Kind: Passivedns, Fields: fieldOrder})
}
func FuzzDnsmasq(f *testing.F) {
	fuzzLog(f, Format{Kind: Dnsmasq}, "dnsmasq-extra.log", "dnsmasq-plain.log", "pihole.log")
}
func FuzzUnbound(f *testing.F) { fuzzLog(f, Format{Kind: Unbound}, "unbound.log") }
func FuzzBind(f *testing.F) {
	fuzzLog(f, Format{Kind: Bind}, "bind.log", "bind-iso.log", "bind-bare.log")
}
func FuzzAdguard(f *testing.F) { fuzzLog(f, Format{Kind: Adguard}, "adguard.json") }

// FuzzFrames holds the reader of Frame Streams, with its other side answering or
// not, and the decoder of dnstap.
func FuzzFrames(f *testing.F) {
	seeds(f, "unbound.fstrm")
	seeds(f, "named.fstrm")
	ready := appendControl(appendControl(nil, controlReady, contentType), controlStart, contentType)
	f.Add(append(ready, appendControl([]byte{0, 0, 0, 1, 8}, controlStop, "")...))
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, out := range []io.Writer{nil, io.Discard} {
			s := frameStream{in: bufio.NewReader(bytes.NewReader(in)), out: out}
			if s.open() != nil {
				continue
			}
			var c counts
			var m capture.Message
			for {
				frame, err := s.next(nil)
				if err != nil {
					break
				}
				if made := (taps(1<<len(Families) - 1)).make(frame, &m, &c); made != nil {
					made.Fields()
				}
			}
		}
	})
}

func FuzzRecognise(f *testing.F) {
	for _, file := range []string{"unbound.fstrm", "adguard.json", "passivedns.json", "bind.log"} {
		seeds(f, file)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		in = in[:min(len(in), headBytes)]
		if kind := Recognise(in); kind != "" {
			if _, err := Read("fuzz", bufio.NewReader(bytes.NewReader(in)), Format{Kind: kind}); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
	})
}
