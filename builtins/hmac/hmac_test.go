package hmac

import (
	"testing"

	"larkspur/builtins/reach"
	"larkspur/engine"
)

// The vectors are those of RFC 2202 and RFC 4231, test case 2.
func TestVectors(t *testing.T) {
	m, err := Open(&reach.Env{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"hmac.sha1":   "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
		"hmac.sha256": "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
		"hmac.sha512": "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
	}
	for _, b := range m.Builtins {
		r, err := b.Do(t.Context(), &engine.Call{Name: b.Name, Args: map[string]engine.Value{"key": "Jefe", "data": engine.Bytes("what do ya want for nothing?")}})
		if err != nil || r.Value != want[b.Name] {
			t.Errorf("%s: got %v, %v, want %s", b.Name, r.Value, err, want[b.Name])
		}
		_, err = b.Do(t.Context(), &engine.Call{Name: b.Name, Args: map[string]engine.Value{"key": "Jefe", "data": "", "encoding": "rot13"}})
		if e := engine.AsError(err); e == nil || e.Kind != engine.Invalid || e.Message != b.Name+`: encoding: got "rot13", want hex or base64` {
			t.Errorf("%s: got %v", b.Name, err)
		}
	}
}
