// Package email holds email.send, which validates a mail and hands it to the
// outbox, incident.reply, which does so with one to who reported an incident, and smtp.deliver, the one SMTP conversation by which the outbox
// delivers it.
//
// Its connections are `connections.smtp`.
package email

import (
	"embed"
	"errors"
	"maps"
	"net/mail"
	"slices"
	"time"

	"larkspur/builtins/reach"
	"larkspur/builtins/settings"
	"larkspur/engine"
)

// Docs holds one page for each builtin, NAME.md.
//
//go:embed *.md
var Docs embed.FS

// Section is the name of this package's part of `connections`.
const Section = "smtp"

// Types of the results.
const (
	sentType      = "email.sent"
	deliveredType = "smtp.delivered"
)

// Limits and defaults.
const (
	deliverTimeout  = 2 * time.Minute // servers may think for long after DATA (RFC 5321 §4.5.3.2)
	maxTimeout      = 5 * time.Minute
	callsAtOnce     = 4
	submissionPort  = 587
	implicitTLSPort = 465
)

// How a connection is encrypted.
const (
	tlsStart    = "starttls"
	tlsImplicit = "implicit"
	tlsNone     = "none"
)

// server is one entry of connections.smtp.
type server struct {
	key         string
	host        string
	port        int
	tls         string
	user        string
	password    string // name of a secret
	passwordKey string
	from        *mail.Address
	helo        string
	trust       reach.Trust
	timeout     time.Duration
}

func parse(name string, values map[string]any) (server, error) {
	key := "connections." + Section + "." + name
	s := settings.Read(key, values)
	fallback := []string{tlsStart, tlsImplicit, tlsNone}
	port := s.Int("port", 0, 1, 65535)
	if port == implicitTLSPort {
		fallback[0], fallback[1] = tlsImplicit, tlsStart
	}
	out := server{
		key:         key,
		host:        s.Host("host", "192.0.2.25"),
		port:        port,
		tls:         s.Choice("tls", fallback...),
		user:        s.Text("user", ""),
		password:    s.Secret("password"),
		passwordKey: s.Key("password"),
		trust:       s.Trust("fingerprint"),
		timeout:     s.Duration("timeout", deliverTimeout, maxTimeout),
	}
	out.defaults(s)
	return out, s.Done()
}

func (v *server) defaults(s *settings.Section) {
	if v.port == 0 {
		v.port = submissionPort
		if v.tls == tlsImplicit {
			v.port = implicitTLSPort
		}
	}
	v.from = &mail.Address{}
	if text := s.Required("from", "soar@example.org"); text != "" {
		from, err := parseAddress(text)
		if err != nil {
			s.Problem("from", "got %q, want an address such as soar@example.org", text)
		} else {
			v.from = from
		}
	}
	v.helo = s.Text("helo", domainOf(v.from.Address))
	switch {
	case s.Has("user") != s.Has("password"):
		s.Problem("user", "user and password belong together").Hint = "leave both out for a server that asks for none"
	case s.Has("user") && v.tls == tlsNone:
		s.Problem("tls", "none would send the password in the clear").Hint = "use starttls or implicit, with fingerprint where the certificate is the server's own"
	case v.trust.Pin != nil && v.tls == tlsNone:
		s.Problem("fingerprint", "has no meaning beside tls: none")
	}
}

// module is the package opened.
type module struct {
	env     *reach.Env
	servers map[string]server
}

// Open reads connections.smtp and returns the builtins. It connects to nothing.
func Open(env *reach.Env, connections map[string]map[string]any) (reach.Module, error) {
	m := &module{env: env, servers: map[string]server{}}
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(connections)) {
		s, err := parse(name, connections[name])
		if err != nil {
			problems = append(problems, err)
			continue
		}
		m.servers[name] = s
	}
	return reach.Module{Builtins: m.builtins()}, errors.Join(problems...)
}

func (m *module) server(c *engine.Call) (server, error) {
	if s, ok := m.servers[c.Connection]; ok {
		return s, nil
	}
	return server{}, engine.Errorf(engine.Invalid, "%s: no connection %q in connections.%s", c.Name, c.Connection, Section)
}

func (m *module) builtins() []reach.Builtin {
	connection := engine.Param{Name: "connection", Kind: "connection", Doc: "a name in connections.smtp; left out where there is one, or one called default"}
	send := engine.Signature{
		Name: "email.send", Class: engine.Repeatable, Positional: 3, Version: 1, Connection: Section,
		Doc: "Hand a mail to the outbox, which delivers it and keeps trying for about two days.",
		Params: []engine.Param{
			{Name: "to", Kind: "person|list", Required: true, Doc: "an address, a person, a team, or a list of them"},
			{Name: "subject", Kind: "text", Required: true, Doc: "one line"},
			{Name: "body", Kind: "text", Doc: "the text; paragraphs are separated by empty lines"},
			{Name: "html", Kind: "text", Doc: "in place of body in the HTML part"},
			{Name: "sections", Kind: "list", Doc: "texts, or dicts with title, text, details, columns and rows"},
			{Name: "details", Kind: "list", Doc: "short facts, shown as a list"},
			{Name: "buttons", Kind: "list", Doc: "dicts or structs with label, url and note"},
			{Name: "attachments", Kind: "list", Doc: "values with name, type and data or sha256"},
			{Name: "reply_to", Kind: "text", Doc: "the address that answers go to"},
			connection,
		},
		Result: "id (the Message-ID), to (a list of addresses)", Type: sentType,
	}
	deliver := engine.Signature{
		Name: "smtp.deliver", Class: engine.Repeatable, Positional: 2, Version: 1, Connection: Section, Internal: true,
		Doc: "Deliver one mail in one SMTP conversation; the outbox calls it.",
		Params: []engine.Param{connection,
			{Name: "mail", Kind: "dict", Required: true, Doc: "what email.send made"}},
		Result: "id, accepted (a list of addresses), refused (a list of address and message)", Type: deliveredType,
	}
	reply := engine.Signature{
		Name: "incident.reply", Class: engine.Repeatable, Positional: 4, Version: 1, Connection: Section,
		Doc: "Write to who reported the incident, by the way they came.",
		Params: []engine.Param{
			{Name: "incident", Kind: "text", Required: true, Doc: "the run's own incident; it stands before the dot"},
			{Name: "text", Kind: "text", Required: true, Doc: "what they are told; paragraphs are separated by empty lines"},
			{Name: "buttons", Kind: "list", Doc: "dicts or structs with label, url and note"},
			{Name: "attachments", Kind: "list", Doc: "values with name, type and data or sha256"},
			connection,
		},
		Result: "id (the Message-ID), to (a list of addresses)", Type: sentType,
	}
	return []reach.Builtin{
		{Builtin: engine.Builtin{Signature: reply, Do: m.reply}, AtOnce: -1, Handles: true},
		{Builtin: engine.Builtin{Signature: send, Do: m.send}, AtOnce: -1, Handles: true},
		{Builtin: engine.Builtin{Signature: deliver, Do: m.deliver},
			Timeout: maxTimeout, MaxTimeout: maxTimeout, AtOnce: callsAtOnce, Lane: laneOf},
	}
}

// laneOf lets somebody who wants to sign in not wait behind large mails.
func laneOf(c *engine.Call) string {
	if mail, ok := fieldsOf(c.Args["mail"]); ok && mail["urgent"] == true {
		return "urgent"
	}
	return ""
}
