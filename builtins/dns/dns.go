// Package dns holds the builtin dns.history: what the sensors saw of names,
// addresses and clients. It reads the passive DNS memory of this box and reaches
// nothing else.
package dns

import (
	"context"
	"embed"

	"larkspur/builtins/reach"
	"larkspur/engine"
)

// Docs holds one page for each builtin, NAME.md.
//
//go:embed *.md
var Docs embed.FS

// Limits of one call.
const (
	defaultLimit = 100
	maxLimit     = 10_000
	resultType   = "dns.record"
)

// History answers a query of the passive DNS memory.
type History func(q engine.DNSQuery) (engine.DNSPage, error)

// Open returns the builtin.
func Open(env *reach.Env, _ map[string]map[string]any) (reach.Module, error) {
	return reach.Module{Builtins: []reach.Builtin{{Builtin: Builtin(env.History), AtOnce: 4}}}, nil
}

// Builtin returns dns.history over a memory; nil is a box that has none.
func Builtin(history History) engine.Builtin {
	return engine.Builtin{
		Signature: engine.Signature{
			Name: "dns.history", Class: engine.Read, Positional: 1, Version: 1,
			Doc: "What the sensors saw of a name and all below it, of an address, or of a client; the newest first.",
			Params: []engine.Param{
				{Name: "domain", Kind: "text", Doc: "a name; what is below it counts, too"},
				{Name: "ip", Kind: "text", Doc: "an address that was answered"},
				{Name: "client", Kind: "text", Doc: "an address that asked"},
				{Name: "limit", Kind: "int", Default: engine.MustEncode(int64(defaultLimit)), Doc: "of the list, at most 10,000"},
			},
			Result: "name, type, data, rcode, first_seen, last_seen, count, clients", Type: resultType,
		},
		Do: func(_ context.Context, c *engine.Call) (engine.Result, error) { return ask(history, c) },
	}
}

func ask(history History, c *engine.Call) (engine.Result, error) {
	q := engine.DNSQuery{Domain: c.Text("domain"), IP: c.Text("ip"), Client: c.Text("client"), Limit: defaultLimit, Whole: true}
	if limit, ok := c.Args["limit"].(int64); ok {
		if limit < 1 || limit > maxLimit {
			return engine.Result{}, engine.Errorf(engine.Invalid, "%s: limit: got %d, want 1 to %d", c.Name, limit, maxLimit)
		}
		q.Limit = int(limit)
	}
	if history == nil {
		return engine.Result{}, engine.Errorf(engine.Unavailable, "%s: there is no memory of DNS here", c.Name)
	}
	page, err := history(q)
	if err != nil {
		return engine.Result{}, engine.WrapError(engine.KindOf(err), err, c.Name)
	}
	list := make([]engine.Value, 0, len(page.Records))
	for _, r := range page.Records {
		list = append(list, value(r))
	}
	return engine.Result{Value: list}, nil
}

// value tells a record as scripts read it. What a client asked has no answer.
func value(r engine.DNSRecord) engine.Value {
	fields := map[string]engine.Value{
		"name": r.Name, "type": r.Type, "data": r.Data, "rcode": r.Rcode,
		"first_seen": r.First, "last_seen": r.Last, "count": int64(min(r.Count, 1<<62)),
	}
	if r.Rcode == "" {
		fields["data"], fields["rcode"] = nil, nil
	}
	clients := make([]engine.Value, len(r.Clients))
	for i, c := range r.Clients {
		clients[i] = c
	}
	fields["clients"] = clients
	return engine.Struct{Type: resultType, Fields: fields}
}
