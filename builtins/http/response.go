package http

import (
	"cmp"
	"context"
	"crypto/tls"
	"io"
	nethttp "net/http"
	"net/url"
	"strings"
	"time"

	"larkspur/builtins/reach"
	"larkspur/engine"
)

// do returns the builtin of one method.
func (m *module) do(method string, class engine.Class) func(context.Context, *engine.Call) (engine.Result, error) {
	return func(ctx context.Context, c *engine.Call) (engine.Result, error) {
		x := exchange{module: m, call: c, read: cmp.Or(c.Class, class) == engine.Read}
		r, err := x.perform(ctx, method)
		if err != nil {
			e := engine.AsError(err)
			e.Maybe = x.sent.Maybe()
			return engine.Result{}, e
		}
		return r, nil
	}
}

// exchange is one request with its answer.
type exchange struct {
	*module
	call *engine.Call
	read bool
	sent reach.Sent
}

// responseType is the type of what every request returns.
const responseType = "http.response"

func (x *exchange) perform(ctx context.Context, method string) (engine.Result, error) {
	limit := x.call.Span("timeout", defaultTimeout)
	if s, ok := x.sites[x.call.Connection]; ok && x.call.Args["timeout"] == nil {
		limit = s.timeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := x.request(x.sent.Watch(ctx), method, x.call)
	if err != nil {
		return engine.Result{}, engine.WrapError(engine.Invalid, err, x.call.Name)
	}
	transport, done, err := x.pick()
	if err != nil {
		return engine.Result{}, err
	}
	defer done()
	client := &nethttp.Client{Transport: transport, CheckRedirect: x.redirect}
	begun := x.env.Clock.Now()
	resp, err := client.Do(req)
	if err != nil {
		return engine.Result{}, x.fault(err, req.URL)
	}
	defer resp.Body.Close()
	body, truncated, err := readBody(resp.Body)
	if err != nil {
		return engine.Result{}, x.fault(err, resp.Request.URL)
	}
	if truncated && x.read {
		return engine.Result{}, engine.Errorf(engine.Invalid, "%s %s: the answer is larger than %d MB", x.call.Name, shown(resp.Request.URL), maxBodyBytes>>20)
	}
	now := x.env.Clock.Now()
	return engine.Result{Value: engine.Struct{Type: responseType, Fields: map[string]engine.Value{
		"status":    int64(resp.StatusCode),
		"headers":   headersOf(resp.Header),
		"body":      string(body),
		"url":       shown(resp.Request.URL),
		"elapsed":   now.Sub(begun),
		"tls":       tlsOf(resp.TLS, now),
		"truncated": truncated,
	}}}, nil
}

// pick returns the transport of a call. Effects have one of their own.
func (x *exchange) pick() (*nethttp.Transport, func(), error) {
	verify := x.call.Bool("verify", true)
	trust := x.pinned(x.call)
	key := x.call.Connection
	if !verify {
		if x.call.Connection != "" {
			return nil, nil, engine.Errorf(engine.Invalid, "%s: verify = False and a connection exclude each other", x.call.Name).
				WithHint("put the certificate's fingerprint into %s", trust.Key)
		}
		key = unverified
	}
	if x.read {
		return x.shared[key], func() {}, nil
	}
	t := x.transport(trust, verify)
	t.DisableKeepAlives = true
	return t, t.CloseIdleConnections, nil
}

// redirect follows within bounds. To another origin goes neither a header that
// the call or its connection set, nor a body; there the redirect itself is the
// answer.
func (x *exchange) redirect(req *nethttp.Request, via []*nethttp.Request) error {
	first := via[0]
	if !x.call.Bool("follow", true) || len(via) > maxRedirects {
		return nethttp.ErrUseLastResponse
	}
	if req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return nethttp.ErrUseLastResponse
	}
	if sameOrigin(first.URL, req.URL) {
		return nil
	}
	if req.Body != nil && req.Body != nethttp.NoBody || req.Method != "GET" && req.Method != "HEAD" {
		return nethttp.ErrUseLastResponse
	}
	req.Header = nethttp.Header{"User-Agent": first.Header["User-Agent"], "Accept": {"*/*"}}
	return nil
}

// fault gives an error its kind; the address is shown without its query, which
// may hold a secret.
func (x *exchange) fault(err error, u *url.URL) *engine.Error {
	return reach.Fault(unwrapURL(err), x.call.Name+" "+shownBare(u), x.trustKey(x.call))
}

// unwrapURL drops net/http's own sentence, which repeats method and address.
func unwrapURL(err error) error {
	if u, ok := err.(*url.Error); ok {
		return u.Err
	}
	return err
}

// readBody reads up to the limit; truncated says that there was more.
func readBody(r io.Reader) (body []byte, truncated bool, err error) {
	body, err = io.ReadAll(io.LimitReader(r, maxBodyBytes+1))
	if len(body) > maxBodyBytes {
		return body[:maxBodyBytes], true, nil
	}
	return body, false, err
}

// shown is an address without user.
func shown(u *url.URL) string {
	copied := *u
	copied.User = nil
	return copied.String()
}

func shownBare(u *url.URL) string {
	copied := *u
	copied.User, copied.RawQuery, copied.Fragment = nil, "", ""
	return copied.String()
}

// headersOf joins what is sent twice by a comma (RFC 9110 §5.3), cookies by a
// line break because they may hold commas.
func headersOf(h nethttp.Header) map[string]engine.Value {
	out := make(map[string]engine.Value, len(h))
	for name, values := range h {
		separator := ", "
		if name == "Set-Cookie" {
			separator = "\n"
		}
		out[strings.ToLower(name)] = strings.Join(values, separator)
	}
	return out
}

// tlsOf describes the encryption of an answer, none for plain HTTP.
func tlsOf(state *tls.ConnectionState, now time.Time) engine.Value {
	if state == nil || len(state.PeerCertificates) == 0 {
		return nil
	}
	leaf := state.PeerCertificates[0]
	names := []engine.Value{}
	for _, n := range leaf.DNSNames {
		names = append(names, n)
	}
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	day := 24 * time.Hour
	left := int64(leaf.NotAfter.Sub(now) / day)
	if leaf.NotAfter.Before(now) {
		left = -int64((now.Sub(leaf.NotAfter) + day - 1) / day)
	}
	return engine.Struct{Type: "http.tls", Fields: map[string]engine.Value{
		"version":    strings.TrimPrefix(tls.VersionName(state.Version), "TLS "),
		"cipher":     tls.CipherSuiteName(state.CipherSuite),
		"subject":    leaf.Subject.String(),
		"issuer":     leaf.Issuer.String(),
		"not_before": leaf.NotBefore.UTC(),
		"not_after":  leaf.NotAfter.UTC(),
		"days_left":  left,
		"names":      names,
	}}
}
