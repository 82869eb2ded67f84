package dnsprint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"larkspur/engine/capture"
	"larkspur/engine/capture/capturetest"
)

var (
	moment = time.Date(2026, 11, 22, 8, 0, 0, 5000, time.FixedZone("", 3600))
	query  = capturetest.Lookup{
		Time: moment, Client: capturetest.At(7, "192.0.2.7:40000"), Server: capturetest.At(53, "192.0.2.53:53"),
		ID: 4711, Name: "WWW.example.org", Answers: []string{
			"www.example.org. 60 IN CNAME Web.example.org.", `web.example.org. 300 IN TXT "a \"b\""`,
		},
	}
	lines = `{"time": "2026-11-22T07:00:00.000005000Z", "client": "192.0.2.7", "client_port": 40000, "server": "192.0.2.53", "server_port": 53, "proto": "udp", "id": 4711, "response": false, "opcode": "QUERY", "query": "www.example.org", "type": "A", "class": "IN", "rcode": "NOERROR", "flags": ["RD"], "answers": [], "client_mac": "02:00:00:00:00:07"}
{"time": "2026-11-22T07:00:00.001005000Z", "client": "192.0.2.7", "client_port": 40000, "server": "192.0.2.53", "server_port": 53, "proto": "udp", "id": 4711, "response": true, "opcode": "QUERY", "query": "www.example.org", "type": "A", "class": "IN", "rcode": "NOERROR", "flags": ["RD", "RA"], "answers": [{"name": "www.example.org", "type": "CNAME", "ttl": 60, "data": "web.example.org"}, {"name": "web.example.org", "type": "TXT", "ttl": 300, "data": "\"a \\\"b\\\"\""}], "client_mac": "02:00:00:00:00:07", "elapsed_ms": 1}
`
)

// file writes a capture of its own to a temporary file.
func file(t *testing.T, write func(w *capturetest.Writer)) string {
	t.Helper()
	var b bytes.Buffer
	write(capturetest.NewWriter(&b))
	path := filepath.Join(t.TempDir(), "test.pcap")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs the command and returns its exit code and what it printed.
func run(t *testing.T, stdin io.Reader, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Main(t.Context(), args, stdin, &out, &errs)
	return code, out.String(), errs.String()
}

func lastLine(text string) string {
	all := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	return all[len(all)-1]
}

func TestLines(t *testing.T) {
	path := file(t, func(w *capturetest.Writer) { w.Exchange(query) })
	for _, args := range [][]string{{path}, {"--json", path}, {path, "--json"}, {"-json", "--", path}} {
		code, stdout, stderr := run(t, nil, args...)
		if code != 0 || stdout != lines {
			t.Errorf("%v: exit %d, got\n%swant\n%s", args, code, stdout, lines)
		}
		if want := "larkspur dns: 2 messages, 0 undecodable\n"; stderr != want {
			t.Errorf("%v: standard error: got %q, want %q", args, stderr, want)
		}
	}
}

func TestStandardInput(t *testing.T) {
	data, err := os.ReadFile(file(t, func(w *capturetest.Writer) { w.Exchange(query) }))
	if err != nil {
		t.Fatal(err)
	}
	if code, stdout, _ := run(t, bytes.NewReader(data), "-"); code != 0 || stdout != lines {
		t.Errorf("exit %d, got\n%swant\n%s", code, stdout, lines)
	}
}

// A line says what the event of the same message says.
func TestLinesEqualFields(t *testing.T) {
	odd := query
	odd.Name, odd.Type, odd.Rcode = `a\032\"\\\200.example.org`, "TXT", "NXDOMAIN"
	odd.Client, odd.Server = capturetest.At(7, "[2001:db8::7]:5353"), capturetest.At(53, "[2001:db8::53]:53")
	odd.Answers = []string{`example.org. 1 IN TXT "\000\127\255é<&>" "` + strings.Repeat("x", 200) + `"`, "example.org. 4294967295 IN SRV 1 2 3 ."}
	path := file(t, func(w *capturetest.Writer) { w.Exchange(query); w.ExchangeTCP(odd) })
	_, stdout, _ := run(t, nil, path)
	src, err := capture.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	r := capture.NewReader(src)
	for line := range strings.Lines(stdout) {
		m, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		fields := m.Fields()
		fields["time"] = m.Time.Format("2006-01-02T15:04:05.000000000Z")
		text, _ := json.Marshal(fields)
		var got, want any
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		json.Unmarshal(text, &want)
		if line, ok := got.(map[string]any); ok {
			delete(line, "elapsed_ms") // which an event calls elapsed
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	}
	if m, err := r.Next(t.Context()); err != io.EOF {
		t.Errorf("more messages than lines: %v, %v", m, err)
	}
}

func TestUndecodableMessagesAreCountedInTheLastLine(t *testing.T) {
	path := file(t, func(w *capturetest.Writer) {
		w.Frame(moment, capturetest.Datagram(query.Client, query.Server, nil, []byte("short")))
		w.Frame(moment, capturetest.Datagram(query.Client, query.Server, nil, query.Query()[:20]))
		response := query.Response()
		w.Frame(moment, capturetest.Datagram(query.Server, query.Client, nil, response[:len(response)-3]))
		w.Query(query)
		w.Frame(moment, capturetest.Ethernet(query.Client, query.Server, nil,
			capturetest.Fragment(query.Client, query.Server, capturetest.ProtoUDP, 1, 0, true, make([]byte, 3))))
	})
	code, stdout, stderr := run(t, nil, path)
	if code != 0 || strings.Count(stdout, "\n") != 1 {
		t.Errorf("exit %d, got\n%swant the one good message", code, stdout)
	}
	want := "larkspur dns: 1 messages, 4 undecodable (bad_answer: 1, bad_fragment: 1, bad_header: 1, bad_question: 1)"
	if got := lastLine(stderr); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestStats(t *testing.T) {
	path := file(t, func(w *capturetest.Writer) {
		w.Exchange(query)
		w.Frame(moment, capturetest.Datagram(query.Client, query.Server, nil, []byte("short")))
	})
	_, _, stderr := run(t, nil, "--stats", path)
	var got capture.Stats
	if err := json.Unmarshal([]byte(lastLine(stderr)), &got); err != nil {
		t.Fatalf("%s: %v", stderr, err)
	}
	if got.Messages != 2 || got.Queries != 1 || got.Source.Frames != 3 || got.Undecodable["bad_header"] != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestProblems(t *testing.T) {
	whole := file(t, func(w *capturetest.Writer) { w.Exchange(query) })
	data, _ := os.ReadFile(whole)
	cut := filepath.Join(t.TempDir(), "cut.pcap")
	os.WriteFile(cut, data[:len(data)-5], 0o600)
	text := filepath.Join(t.TempDir(), "text")
	os.WriteFile(text, []byte("no capture"), 0o600)
	for _, test := range []struct {
		args  []string
		code  int
		lines int
		want  string
	}{
		{[]string{cut}, 1, 1, "the file ends too early: 5 bytes of the packet are missing\nhint: "},
		{[]string{text}, 1, 0, "not a capture file"},
		{[]string{"no-such-file"}, 1, 0, "larkspur dns: capture \"no-such-file\": no such file or directory\nhint: "},
		{[]string{"-i", "no-such-interface"}, 1, 0, "larkspur dns: interface \"no-such-interface\": no such interface"},
		{nil, 2, 0, "got 0 files, want one file, - or -i INTERFACE\n\nusage: "},
		{[]string{"a", "b"}, 2, 0, "got 2 files"},
		{[]string{"-i", "lo", "a"}, 2, 0, "got both -i lo and the file \"a\""},
		{[]string{"--nope", "a"}, 2, 0, "flag provided but not defined: -nope"},
		{[]string{"--port", "53,x", "a"}, 2, 0, "got \"x\", want numbers from 1 to 65535"},
		{[]string{"--json=false", "a"}, 2, 0, "JSON lines are the only format"},
	} {
		code, stdout, stderr := run(t, nil, test.args...)
		if code != test.code || strings.Count(stdout, "\n") != test.lines || !strings.Contains(stderr, test.want) {
			t.Errorf("%v: exit %d with %d lines and %q; want %d, %d and %q",
				test.args, code, strings.Count(stdout, "\n"), stderr, test.code, test.lines, test.want)
		}
	}
	if code, stdout, _ := run(t, nil, "-h"); code != 0 || stdout != usage {
		t.Errorf("-h: exit %d, %q", code, stdout)
	}
}

func TestPorts(t *testing.T) {
	other := query
	other.Server = capturetest.At(53, "192.0.2.53:5335")
	path := file(t, func(w *capturetest.Writer) { w.Query(query); w.Query(other) })
	if _, stdout, _ := run(t, nil, "--port", "5335", path); strings.Count(stdout, "\n") != 1 || !strings.Contains(stdout, `"server_port": 5335`) {
		t.Errorf("got %s", stdout)
	}
}

// endless yields the same frame for ever.
type endless struct{ frame []byte }

func (e endless) Next(ctx context.Context, f *capture.Frame) error {
	*f = capture.Frame{Time: moment, Link: capture.LinkEthernet, Data: e.frame, Length: len(e.frame)}
	return ctx.Err()
}
func (e endless) Stats() capture.SourceStats { return capture.SourceStats{} }
func (e endless) Close() error               { return nil }

// failing is a writer that takes some bytes, then fails.
type failing struct {
	room int
	err  error
}

func (w *failing) Write(p []byte) (int, error) {
	if w.room -= len(p); w.room < 0 {
		return 0, w.err
	}
	return len(p), nil
}

func TestClosedOutputEndsQuietly(t *testing.T) {
	var stderr bytes.Buffer
	err := Print(t.Context(), &failing{100_000, &os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}}, &stderr, endless{query.QueryFrame()}, Options{})
	if err != nil || strings.Count(stderr.String(), "\n") != 1 {
		t.Errorf("got %v and %q, want no error and the counters", err, stderr.String())
	}
}

func TestFullDiskIsAnError(t *testing.T) {
	var stderr bytes.Buffer
	err := Print(t.Context(), &failing{0, syscall.ENOSPC}, &stderr, endless{query.QueryFrame()}, Options{})
	if !errors.Is(err, syscall.ENOSPC) || !strings.HasPrefix(stderr.String(), "larkspur dns: standard output: no space left on device\nhint: ") {
		t.Errorf("got %v and %q", err, stderr.String())
	}
}

// once yields one frame, then waits for the context.
type once struct {
	endless
	done bool
}

func (o *once) Next(ctx context.Context, f *capture.Frame) error {
	if o.done {
		<-ctx.Done()
	}
	o.done = true
	return o.endless.Next(ctx, f)
}

func TestIdleInputFlushesTheOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r, w := io.Pipe()
		done := make(chan error)
		go func() { done <- Print(ctx, w, io.Discard, &once{endless: endless{query.QueryFrame()}}, Options{}) }()
		began, line := time.Now(), make([]byte, 4096)
		n, err := r.Read(line)
		if err != nil || !strings.HasPrefix(lines, string(line[:n])) || time.Since(began) > maxIdle {
			t.Errorf("got %q, %v after %v; want the line within %v", line[:n], err, time.Since(began), maxIdle)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("after the context ended: got %v, want no error", err)
		}
	})
}
