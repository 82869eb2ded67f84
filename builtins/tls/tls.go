// Package tls holds the builtin tls.inspect. It has no connections: it reaches
// what `egress` lets through.
package tls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"embed"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"larkspur/builtins/reach"
	"larkspur/engine"
)

// Docs holds one page for each builtin, NAME.md.
//
//go:embed *.md
var Docs embed.FS

// Limits and defaults.
const (
	timeout     = 30 * time.Second
	callsAtOnce = 16
	defaultPort = 443
	resultType  = "tls.inspection"
	maxNames    = 200
)

// module is the package opened.
type module struct{ env *reach.Env }

// Open returns the builtin.
func Open(env *reach.Env, _ map[string]map[string]any) (reach.Module, error) {
	m := module{env}
	inspect := engine.Builtin{
		Signature: engine.Signature{
			Name: "tls.inspect", Class: engine.Read, Positional: 1, Version: 1,
			Doc: "Look at a server's certificate and encryption; a bad certificate is a result, no answer is an error.",
			Params: []engine.Param{
				{Name: "host", Kind: "text", Required: true, Doc: "a name or an address"},
				{Name: "port", Kind: "int", Default: engine.MustEncode(int64(defaultPort)), Doc: "of the server"},
				{Name: "server_name", Kind: "text", Doc: "what the server is asked for and its certificate must name; default the host"},
				{Name: "min_version", Kind: "text", Doc: "the oldest version that is offered: 1.0, 1.1, 1.2 or 1.3; default 1.0"},
				{Name: "max_version", Kind: "text", Doc: "the newest version that is offered; default 1.3"},
			},
			Result: "version, cipher, verified, problem, subject, issuer, not_before, not_after, days_left, names", Type: resultType,
		},
		Do: m.inspect,
	}
	return reach.Module{Builtins: []reach.Builtin{{Builtin: inspect, Timeout: timeout, MaxTimeout: timeout, AtOnce: callsAtOnce}}}, nil
}

// question is what a call asks.
type question struct {
	host, port, name string
	min, max         uint16
}

func read(c *engine.Call) (question, error) {
	q := question{host: strings.Trim(c.Text("host"), "[]"), name: c.Text("server_name")}
	if q.host == "" || net.ParseIP(q.host) == nil && strings.ContainsAny(q.host, ":/@ \t\r\n") {
		return q, engine.Errorf(engine.Invalid, "host: got %.100q, want a name or an address alone", c.Text("host")).WithHint("the port is port = 8443")
	}
	port, ok := c.Args["port"].(int64)
	if !ok {
		port = defaultPort
	}
	if port < 1 || port > 65535 {
		return q, engine.Errorf(engine.Invalid, "port: got %d, want 1 to 65535", port)
	}
	q.port = strconv.FormatInt(port, 10)
	if q.name == "" {
		q.name = strings.TrimSuffix(q.host, ".")
	}
	var err error
	if q.min, err = version(c, "min_version", tls.VersionTLS10); err != nil {
		return q, err
	}
	if q.max, err = version(c, "max_version", tls.VersionTLS13); err != nil {
		return q, err
	}
	if q.min > q.max {
		return q, engine.Errorf(engine.Invalid, "min_version: %s is newer than max_version", c.Text("min_version"))
	}
	return q, nil
}

func version(c *engine.Call, name string, fallback uint16) (uint16, error) {
	switch text := strings.TrimPrefix(c.Text(name), "TLS "); text {
	case "":
		return fallback, nil
	case "1.0":
		return tls.VersionTLS10, nil
	case "1.1":
		return tls.VersionTLS11, nil
	case "1.2":
		return tls.VersionTLS12, nil
	case "1.3":
		return tls.VersionTLS13, nil
	default:
		return 0, engine.Errorf(engine.Invalid, "%s: got %.20q, want 1.0, 1.1, 1.2 or 1.3", name, text)
	}
}

func (m module) inspect(ctx context.Context, c *engine.Call) (engine.Result, error) {
	q, err := read(c)
	if err != nil {
		return engine.Result{}, engine.WrapError(engine.Invalid, err, c.Name)
	}
	address := net.JoinHostPort(q.host, q.port)
	doing := c.Name + " " + address
	conn, err := m.env.Dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return engine.Result{}, reach.Fault(err, doing, "")
	}
	defer conn.Close()
	client := tls.Client(conn, &tls.Config{
		ServerName: q.name, MinVersion: q.min, MaxVersion: q.max, CipherSuites: allCiphers(),
		InsecureSkipVerify: true, // verified below: a bad certificate is a result
	})
	if err := client.HandshakeContext(ctx); err != nil {
		return engine.Result{}, handshakeFault(ctx, err, doing)
	}
	state := client.ConnectionState()
	return engine.Result{Value: engine.Struct{Type: resultType, Fields: m.describe(state, q.name)}}, nil
}

// allCiphers are also those that are too weak to be used: this only looks.
func allCiphers() []uint16 {
	var list []uint16
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		list = append(list, s.ID)
	}
	return list
}

// handshakeFault tells a server that does not speak TLS from one that refuses.
func handshakeFault(ctx context.Context, err error, doing string) error {
	if ctx.Err() != nil {
		return reach.Fault(ctx.Err(), doing, "")
	}
	var header tls.RecordHeaderError
	if errors.As(err, &header) {
		return engine.Errorf(engine.Unavailable, "%s: what answers there does not speak TLS", doing).WithCause("tls")
	}
	return reach.Fault(err, doing, "")
}

func (m module) describe(state tls.ConnectionState, name string) map[string]engine.Value {
	now := m.env.Clock.Now()
	fields := map[string]engine.Value{
		"version": strings.TrimPrefix(tls.VersionName(state.Version), "TLS "),
		"cipher":  tls.CipherSuiteName(state.CipherSuite),
		"problem": nil, "verified": true,
	}
	leaf := state.PeerCertificates[0] // a client that got none has failed
	if problem := m.problem(state.PeerCertificates, name, now); problem != "" {
		fields["problem"], fields["verified"] = problem, false
	}
	names := []engine.Value{}
	for _, n := range leaf.DNSNames {
		names = append(names, n)
	}
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	fields["subject"], fields["issuer"] = leaf.Subject.String(), leaf.Issuer.String()
	fields["not_before"], fields["not_after"] = leaf.NotBefore.UTC(), leaf.NotAfter.UTC()
	fields["days_left"] = daysLeft(leaf.NotAfter, now)
	fields["names"] = names[:min(len(names), maxNames)]
	return fields
}

// daysLeft counts whole days; what ended less than a day ago is -1.
func daysLeft(end, now time.Time) int64 {
	const day = 24 * time.Hour
	if end.Before(now) {
		return -int64((now.Sub(end) + day - 1) / day)
	}
	return int64(end.Sub(now) / day)
}

// problem says why a certificate is not to be trusted, "" when it is. A date and
// a wrong name come before an unknown issuer: they are what people can mend.
func (m module) problem(chain []*x509.Certificate, name string, now time.Time) string {
	leaf := chain[0]
	switch {
	case now.After(leaf.NotAfter):
		return "it expired on " + leaf.NotAfter.UTC().Format(time.DateOnly)
	case now.Before(leaf.NotBefore):
		return "it counts from " + leaf.NotBefore.UTC().Format(time.DateOnly) + " on"
	}
	if err := leaf.VerifyHostname(name); err != nil {
		return "it is not for " + name
	}
	pool := x509.NewCertPool()
	for _, c := range chain[1:] {
		pool.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: m.env.Dialer.Roots, Intermediates: pool, CurrentTime: now, DNSName: name})
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &unknown) && leaf.CheckSignatureFrom(leaf) == nil,
		errors.As(err, &unknown) && string(leaf.RawSubject) == string(leaf.RawIssuer):
		return "it is signed by itself"
	case errors.As(err, &unknown):
		return "it is signed by nobody that this machine knows"
	}
	return strings.TrimPrefix(err.Error(), "x509: ")
}
