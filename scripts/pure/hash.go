package pure

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"larkspur/engine"
)

// text unpacks a string or bytes.
type text string

// Unpack lets UnpackArgs fill a text.
func (t *text) Unpack(v starlark.Value) error {
	switch v := v.(type) {
	case starlark.String:
		*t = text(v)
	case starlark.Bytes:
		*t = text(v)
	default:
		return fmt.Errorf("got %s, want string or bytes", v.Type())
	}
	return nil
}

// hashModule has the digests by which files and addresses are named elsewhere.
// md5 and sha1 are for looking things up, not for protecting them.
func hashModule() *starlarkstruct.Module {
	return module("hash", map[string]builtin{
		"sha512": digest(func(b []byte) []byte { h := sha512.Sum512(b); return h[:] }),
		"sha384": digest(func(b []byte) []byte { h := sha512.Sum384(b); return h[:] }),
		"sha256": digest(func(b []byte) []byte { h := sha256.Sum256(b); return h[:] }),
		"sha1":   digest(func(b []byte) []byte { h := sha1.Sum(b); return h[:] }),
		"md5":    digest(func(b []byte) []byte { h := md5.Sum(b); return h[:] }),
	})
}

func digest(sum func([]byte) []byte) builtin {
	return func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var t text
		if err := starlark.UnpackArgs(b.Name(), args, kwargs, "text", &t); err != nil {
			return nil, err
		}
		return starlark.String(hex.EncodeToString(sum([]byte(t)))), nil
	}
}

// hmacModule has the same words as the builtins that take a secret as key; the
// worker calls these where there is none (RFC 2104).
func hmacModule() *starlarkstruct.Module {
	return module("hmac", map[string]builtin{
		"sha256": keyed(sha256.New), "sha512": keyed(sha512.New), "sha1": keyed(sha1.New),
		"equal": equal, "compare_digest": equal,
	})
}

func keyed(sum func() hash.Hash) builtin {
	return func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var key, data text
		encoding := "hex"
		if err := starlark.UnpackArgs(b.Name(), args, kwargs, "key", &key, "data", &data, "encoding?", &encoding); err != nil {
			return nil, err
		}
		mac := hmac.New(sum, []byte(key))
		mac.Write([]byte(data))
		switch encoding {
		case "hex":
			return starlark.String(hex.EncodeToString(mac.Sum(nil))), nil
		case "base64":
			return starlark.String(base64.StdEncoding.EncodeToString(mac.Sum(nil))), nil
		}
		return nil, engine.Errorf(engine.Invalid, "%s: encoding: got %.20q, want hex or base64", b.Name(), encoding)
	}
}

// equal compares in a time that does not tell where two texts differ.
func equal(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var x, y text
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "a", &x, "b", &y); err != nil {
		return nil, err
	}
	return starlark.Bool(hmac.Equal([]byte(x), []byte(y))), nil
}

// base64Module also answers to the names that Python has.
func base64Module() *starlarkstruct.Module {
	return module("base64", map[string]builtin{
		"encode": base64Encode, "decode": base64Decode, "b64encode": base64Encode, "b64decode": base64Decode,
	})
}

func base64Encode(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var t text
	url := false
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "text", &t, "url?", &url); err != nil {
		return nil, err
	}
	encoding := base64.StdEncoding
	if url {
		encoding = base64.RawURLEncoding
	}
	return starlark.String(encoding.EncodeToString([]byte(t))), nil
}

// base64Decode takes both alphabets, with padding and without, and ignores line
// ends. The result is a string, which may hold any bytes.
func base64Decode(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var t text
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "text", &t); err != nil {
		return nil, err
	}
	plain := strings.NewReplacer("-", "+", "_", "/", "\n", "", "\r", "").Replace(string(t))
	out, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(plain, "="))
	if err != nil {
		return nil, engine.Errorf(engine.Invalid, "%s: %.40q is not base64: %w", b.Name(), string(t), err)
	}
	return starlark.String(out), nil
}
