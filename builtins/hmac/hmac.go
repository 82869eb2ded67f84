// Package hmac holds the builtins hmac.sha256, sha512 and sha1 for keys that are
// secrets: their values are known on this side of the worker alone. With any
// other key the worker computes them itself, and there is no step. They reach
// nothing.
package hmac

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strings"

	"larkspur/builtins/reach"
	"larkspur/engine"
)

// Docs holds one page for each builtin, NAME.md.
//
//go:embed *.md
var Docs embed.FS

// Open returns the builtins.
func Open(*reach.Env, map[string]map[string]any) (reach.Module, error) {
	var m reach.Module
	for _, b := range []struct {
		name string
		sum  func() hash.Hash
	}{{"sha1", sha1.New}, {"sha256", sha256.New}, {"sha512", sha512.New}} {
		m.Builtins = append(m.Builtins, reach.Builtin{AtOnce: -1, Builtin: engine.Builtin{
			Signature: engine.Signature{
				Name: "hmac." + b.name, Class: engine.Read, Positional: 2, Version: 1,
				Doc: "The HMAC-" + strings.ToUpper(b.name) + " (RFC 2104) of something; a step when the key is a secret.",
				Params: []engine.Param{
					{Name: "key", Kind: "text|bytes|secret", Required: true, Doc: "the key"},
					{Name: "data", Kind: "text|bytes|secret", Required: true, Doc: "what is signed"},
					{Name: "encoding", Kind: "text", Doc: "hex (default) or base64"},
				},
				Result: "a text",
			},
			Do: func(_ context.Context, c *engine.Call) (engine.Result, error) { return compute(c, b.sum) },
		}})
	}
	return m, nil
}

func compute(c *engine.Call, sum func() hash.Hash) (engine.Result, error) {
	key, isText := bytesOf(c.Args["key"])
	data, isText2 := bytesOf(c.Args["data"])
	if !isText || !isText2 {
		return engine.Result{}, engine.Errorf(engine.Invalid, "%s: key and data: want texts, bytes or secrets", c.Name)
	}
	mac := hmac.New(sum, key)
	mac.Write(data)
	switch encoding := c.Text("encoding"); encoding {
	case "", "hex":
		return engine.Result{Value: hex.EncodeToString(mac.Sum(nil))}, nil
	case "base64":
		return engine.Result{Value: base64.StdEncoding.EncodeToString(mac.Sum(nil))}, nil
	default:
		return engine.Result{}, engine.Errorf(engine.Invalid, "%s: encoding: got %.20q, want hex or base64", c.Name, encoding)
	}
}

func bytesOf(v engine.Value) ([]byte, bool) {
	switch v := v.(type) {
	case string:
		return []byte(v), true
	case engine.Bytes:
		return v, true
	}
	return nil, false
}
