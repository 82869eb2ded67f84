package engine

import (
	"bytes"
	"encoding/json"
)

// MarshalJSON is json.Marshal without HTML escapes, so that Data inside stays
// in its canonical encoding. Structs whose fields stand in the order of their
// keys come out canonical too.
func MarshalJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
