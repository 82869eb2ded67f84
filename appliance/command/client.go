package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"larkspur/appliance"
	"larkspur/appliance/config"
	"larkspur/engine"
)

// client speaks to a running appliance: by the control socket of a workspace, or
// to LARKSPUR_URL with LARKSPUR_TOKEN.
type client struct {
	http  *http.Client
	base  string
	token string
	// admin is who signs in when nobody is named; "" where that is not known.
	admin string
}

// clientTimeout bounds one call of the API.
const clientTimeout = 30 * time.Second

func newClient(dir string) (*client, error) {
	if base := env("LARKSPUR_URL"); base != "" {
		if u, err := url.Parse(base); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, engine.Errorf(engine.Invalid, "LARKSPUR_URL: got %q, want an address such as https://soar.example.org", base)
		}
		return &client{http: &http.Client{Timeout: clientTimeout}, base: strings.TrimRight(base, "/"), token: env("LARKSPUR_TOKEN")}, nil
	}
	settings, _ := config.Load(dir)
	socket := filepath.Join(settings.Box.Store, appliance.ControlSocket)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", socket)
		if err != nil {
			return nil, engine.Errorf(engine.Unavailable, "no appliance serves this workspace: %w", err).
				WithHint("start it with: larkspur serve %s; or name another workspace with -C DIR, or set LARKSPUR_URL and LARKSPUR_TOKEN", dir)
		}
		return conn, nil
	}
	return &client{
		http: &http.Client{Timeout: clientTimeout, Transport: &http.Transport{DialContext: dial}},
		base: "http://larkspur", admin: settings.Administrator(),
	}, nil
}

// do performs one call; body may be nil. The answer's JSON is returned raw.
func (cl *client) do(ctx context.Context, method, path string, body any) ([]byte, error) {
	resp, err := cl.send(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, engine.WrapError(engine.Unavailable, err, "reading the answer")
	}
	if resp.StatusCode >= 400 {
		return nil, apiError(resp, answer)
	}
	return answer, nil
}

func (cl *client) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var content io.Reader
	kind := "application/json"
	if form, ok := body.(*form); ok {
		content, kind = &form.content, form.kind
	} else if lines, ok := body.(io.Reader); ok {
		content, kind = lines, "application/jsonl"
	} else if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, cl.base+path, content)
	if err != nil {
		return nil, engine.WrapError(engine.Invalid, err, "LARKSPUR_URL")
	}
	req.Header.Set("Content-Type", kind)
	if cl.token != "" {
		req.Header.Set("Authorization", "Bearer "+cl.token)
	}
	resp, err := cl.http.Do(req)
	if err != nil {
		return nil, unreachable(cl.base, err)
	}
	return resp, nil
}

// unreachable says that nobody answered, without the client's own words.
func unreachable(base string, err error) error {
	var call *url.Error
	if errors.As(err, &call) {
		err = call.Err
	}
	if known := (*engine.Error)(nil); errors.As(err, &known) {
		return known
	}
	return engine.Errorf(engine.Unavailable, "%s does not answer: %w", base, err).
		WithHint("LARKSPUR_URL says where the appliance is; without it the commands speak to state/control.sock of the workspace")
}

func apiError(resp *http.Response, body []byte) error {
	var e struct{ Error engine.Error }
	if json.Unmarshal(body, &e) != nil || e.Error.Message == "" {
		return engine.Errorf(engine.Unavailable, "the appliance answered %s", resp.Status)
	}
	return &e.Error
}

// ask is one subcommand of the client commands; arguments in brackets may be
// left out, TEXT takes all that follow.
type ask struct {
	name, args string
	run        func(*question) error
}

// question is one use of a subcommand.
type question struct {
	*call
	client *client
	args   []string
	opts   options
}

// options are the flags that client commands share.
type options struct {
	dir, status, reason, code, fields string
	incident, because, pick, owner    string
	outcome, value, answer, script    string
	choice                            string
	field, file                       pairs
	dry, snapshots                    bool
	json, dryRun                      bool
	limit                             int
}

func (c *call) client(asks []ask) error {
	o := options{}
	args, err := c.flags(func(f *flag.FlagSet) {
		f.StringVar(&o.dir, "C", ".", "the workspace")
		f.StringVar(&o.status, "status", "", "only of this status")
		f.StringVar(&o.reason, "reason", "", "why")
		f.StringVar(&o.code, "code", "", "of a close")
		f.StringVar(&o.fields, "fields", "", "JSON object of an answer's fields")
		f.StringVar(&o.choice, "choice", "", "the choice of an answer")
		f.Var(&o.field, "field", "NAME=VALUE of an answer; again for each, and for each value of one that takes several")
		f.Var(&o.file, "file", "NAME=PATH of a file for an answer's field")
		f.StringVar(&o.incident, "incident", "", "only of this incident")
		f.StringVar(&o.owner, "owner", "", "only of this owner")
		f.StringVar(&o.pick, "pick", "", "of a team: less-busy or random")
		f.StringVar(&o.outcome, "outcome", "", "of a step in doubt: happened, again or skip")
		f.StringVar(&o.answer, "answer", "", "JSON: the result of a step from now on")
		f.StringVar(&o.script, "script", "same", "same, or current: the live one")
		f.BoolVar(&o.dry, "dry", false, "only tell what would be done")
		f.StringVar(&o.value, "value", "", "JSON of what a step returned that happened")
		f.StringVar(&o.because, "because", "", "why something is erased")
		f.BoolVar(&o.snapshots, "snapshots", false, "erase the snapshots of upgrades, too")
		f.BoolVar(&o.dryRun, "dry-run", false, "only tell what would be erased")
		f.BoolVar(&o.json, "json", false, "print what the API answers")
		f.IntVar(&o.limit, "limit", 50, "how many of a list")
	})
	if err != nil {
		return err
	}
	a, args, err := pick(asks, args)
	if err != nil {
		return err
	}
	cl, err := newClient(o.dir)
	if err != nil {
		return err
	}
	return a.run(&question{c, cl, args, o})
}

// pick finds the subcommand, list or show by default, and holds its arguments against
// what it wants. A command without subcommands has one without a name.
func pick(asks []ask, args []string) (ask, []string, error) {
	name := asks[0].name
	switch {
	case name == "":
	case len(args) > 0:
		name, args = args[0], args[1:]
	case name != "list" && name != "show":
		return ask{}, nil, usagef("it wants one of: %s", strings.Join(usages(asks), ", "))
	}
	for _, a := range asks {
		if a.name != name {
			continue
		}
		words := strings.Fields(a.args)
		wanted := len(slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w[0] == '[' }))
		switch {
		case len(args) < wanted:
			return ask{}, nil, usagef("%s wants %s", name, a.args)
		case len(args) > len(words) && !slices.Contains(words, "TEXT"):
			return ask{}, nil, usagef("what is %q?", args[len(words)])
		}
		return a, args, nil
	}
	return ask{}, nil, usagef("there is no %q; there is: %s", name, strings.Join(usages(asks), ", "))
}

func usages(asks []ask) []string {
	var known []string
	for _, a := range asks {
		known = append(known, strings.TrimSpace(a.name+" "+a.args))
	}
	return known
}

// get performs a GET and prints it raw, or through show.
func get[T any](q *question, path string, show func(io.Writer, T)) error {
	b, err := q.client.do(q.ctx, "GET", "/api/v1/"+path, nil)
	if err != nil {
		return err
	}
	return print(q, b, show)
}

// post performs a POST and prints it raw, or through show.
func post[T any](q *question, path string, body any, show func(io.Writer, T)) error {
	b, err := q.client.do(q.ctx, "POST", "/api/v1/"+path, body)
	if err != nil {
		return err
	}
	return print(q, b, show)
}

func print[T any](q *question, b []byte, show func(io.Writer, T)) error {
	if q.opts.json {
		_, err := fmt.Fprintf(q.stdout, "%s\n", bytes.TrimSpace(b))
		return err
	}
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		return engine.WrapError(engine.Internal, err, "the appliance's answer")
	}
	table := tabwriter.NewWriter(terminal{q.stdout}, 0, 8, 2, ' ', 0)
	show(table, v)
	return table.Flush()
}

// pairs are the values of a flag NAME=VALUE that may be given again.
type pairs [][2]string

// String implements flag.Value.
func (p *pairs) String() string { return "" }

// Set implements flag.Value.
func (p *pairs) Set(text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return usagef("got %q, want NAME=VALUE", text)
	}
	*p = append(*p, [2]string{name, value})
	return nil
}

// terminal keeps what the world sent from steering a person's terminal.
type terminal struct{ io.Writer }

// Write writes control characters other than line ends as question marks.
func (t terminal) Write(b []byte) (int, error) {
	clean := bytes.Map(func(r rune) rune {
		if r != '\n' && unicode.IsControl(r) {
			return '?'
		}
		return r
	}, b)
	if _, err := t.Writer.Write(clean); err != nil {
		return 0, err
	}
	return len(b), nil
}

// page is a list's answer.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
}

func (q *question) query() string {
	v := url.Values{"limit": {fmt.Sprint(q.opts.limit)}}
	for name, value := range map[string]string{"status": q.opts.status, "incident": q.opts.incident, "owner": q.opts.owner} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return "?" + v.Encode()
}

func (q *question) id() string { return url.PathEscape(q.args[0]) }

// decided shows what became of an act.
func decided(w io.Writer, d engine.Decision) {
	switch {
	case d.Applied && d.Why != "":
		fmt.Fprintf(w, "done: %s\n", d.Why)
		return
	case d.Applied:
		fmt.Fprintln(w, "done")
		return
	}
	fmt.Fprintf(w, "no effect: %s\n", d.Why)
}
