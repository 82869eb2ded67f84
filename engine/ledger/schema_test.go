package ledger

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"larkspur/engine"
	"larkspur/engine/store"
)

func TestDescriptionsOfSchemas(t *testing.T) {
	t.Parallel()
	now := formatMeta(meta{Shards: 3, HashKey: "k1"})
	if err := json.Unmarshal(now, &meta{}); err == nil {
		t.Error("a program of schema 1 takes today's ledger for its own")
	}
	for _, tt := range []struct {
		text   string
		schema int
		why    string
	}{
		{string(now), store.Schema, ""},
		{`{"shards":3,"hash_key":"k1"}`, 1, ""},
		{fmt.Sprintf("%d {}", store.Schema+1), 0, "it has schema"},
		{`x {}`, 0, "damaged"},
		{`2 {`, 0, "damaged"},
		{``, 0, "damaged"},
	} {
		l := &Ledger{}
		err := l.parseMeta([]byte(tt.text))
		switch {
		case tt.why != "" && (err == nil || !strings.Contains(err.Error(), tt.why)):
			t.Errorf("%q: got %v, want %q", tt.text, err, tt.why)
		case tt.why == "" && (err != nil || l.schema != tt.schema || l.meta.Shards != 3):
			t.Errorf("%q: got schema %d, %+v, %v", tt.text, l.schema, l.meta, err)
		}
	}
	if err := (&Ledger{}).parseMeta([]byte("99 {}")); engine.AsError(err).Hint == "" {
		t.Error("a newer ledger is refused without a hint")
	}
}
