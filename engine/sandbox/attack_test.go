package sandbox_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/engine/sandbox"
	"larkspur/engine/wire"
)

// attack is a script that would hurt the box, and what becomes of it: its worker
// dies for one of the reasons (the line is then told), or the run ends with an
// error of kind script and a cause, or, of kind invalid, names what is too large.
type attack struct {
	name, source string
	died         []string // reasons of the death
	line         string   // of the script, of a death
	kind, cause  string   // of the error, without a death
	message      string
	harmless     bool // it ends well
}

// died are the attacks that end their worker.
func died(name, source, line string, why ...string) attack {
	return attack{name: name, source: source, died: why, line: line}
}

// refused are the attacks that end with an error.
func refused(name, source, kind, cause, message string) attack {
	return attack{name: name, source: source, kind: kind, cause: cause, message: message}
}

const (
	memory, span = sandbox.DiedMemory, sandbox.DiedTime
	script       = string(engine.Script)

	// deep makes a list in a list in a list.
	deep = "def deep(n):\n    x = []\n    for _ in range(n):\n        x = [x]\n    return x\n\n"
)

// attacks are what a script can do to the process that interprets it.
var attacks = []attack{
	died("list", "def f():\n    n = 1000000000\n    return len([0] * n)\n", "3", memory),
	died("string", "def f():\n    n = 1000000000\n    return len('a' * n)\n", "3", memory),
	died("join", "def f():\n    x = 'x' * 100000000\n    return len(''.join([x] * 100))\n", "3", memory),
	died("replace", "def f():\n    x = 'a' * 1000000\n    return len(x.replace('a', 'b' * 100000))\n", "3", memory),
	died("percent", "def f():\n    x = 'x' * 10000000\n    return len(('%s' * 1000) % tuple([x] * 1000))\n", "3", memory),
	died("format", "def f():\n    x = 'a' * 1000000\n    return len(('{0}' * 100000).format(x))\n", "3", memory),
	died("range to list", "def f():\n    n = 1000000000\n    return len(list(range(n)))\n", "3", memory),
	died("doubling", "def f():\n    x = [1]\n    for _ in range(40):\n        x = x + x\n", "4", memory, span),
	died("elems", "def f():\n    x = 'a' * 100000000\n    return len(list(x.elems()))\n", "3", memory),
	died("sort", "def f():\n    n = 200000000\n    return len(sorted(range(n)))\n", "3", memory),
	died("slices", "def f():\n    x = 'a' * 1000000\n    y = []\n    for n in range(100000):\n        y.append(x[n:] + 'b')\n", "5", memory),
	died("hash", "def f():\n    x = ()\n    for _ in range(100000):\n        x = ((((((((((((x,),),),),),),),),),),),)\n    return {x: 1}\n", "5", memory, span),
	died("square", "def f():\n    x = 3\n    for _ in range(40):\n        x = x * x\n    return x\n", "4", memory, span),
	died("shift", "def f():\n    x = 1\n    for _ in range(1000000):\n        x = x << 500\n", "4", memory, span),
	died("repr", deep+"def f():\n    x = deep(200000)\n    return len(repr(x))\n", "9", memory, span),
	died("contains", "def f():\n    x = [0] * 1000000\n    for _ in range(1000000):\n        1 in x\n", "4", span),
	died("count", "def f():\n    x = 'a' * 10000000\n    for _ in range(1000000):\n        x.count('ab')\n", "4", span),

	refused("while", "def f():\n    while True:\n        pass\n", script, "limit", "interpreter steps"),
	refused("recursion", "def f(n = 0):\n    return f(n + 1)\n", script, "limit", "calls nested deeper"),
	refused("holds a lock", "def f():\n    lock('printer')\n    while True:\n        pass\n", script, "limit", "interpreter steps"),
	died("holds a lock and all memory", "def f():\n    lock('printer')\n    n = 1000000000\n    return len([0] * n)\n", "4", memory),
	refused("a million steps", "def f():\n    for _ in range(1000000):\n        now()\n", script, "limit", "a run may have 10000"),
	refused("print for ever", "def f():\n    while True:\n        print('x')\n", script, "limit", "a run may have 10000"),
	refused("regexp", "def f():\n    return re.search('(a|b)*' * 170000, 'ab' * 1000)\n", script, "limit", "a pattern of 1020000 bytes"),
	refused("json.decode", "def f():\n    return json.decode('[' * 10000000 + ']' * 10000000)\n", "invalid", "", "nested deeper"),
	refused("json.encode", deep+"def f():\n    return len(json.encode(deep(100000)))\n", "invalid", "", "nested deeper"),
	refused("equal", deep+"def f():\n    return deep(100000) == deep(100000)\n", script, "limit", "recursion depth"),
	refused("argument", "def f():\n    http.get('x' * 100000000)\n", "invalid", "", "more than 1024 KB"),
	refused("range as argument", "def f():\n    fetch(range(1000000000))\n\ndef fetch(x):\n    note(x)\n", "invalid", "", "more than 1024 KB"),
	refused("shared parts", "def f():\n    x = ['x']\n    for _ in range(60):\n        x = [x, x]\n    note(x)\n", "invalid", "", "more than 1024 KB"),
	refused("fail", "def f():\n    fail('x' * 10000000)\n", script, "failed", "xxx"),

	{name: "regexp over text", source: "def f():\n    return re.findall('(x+x+)+y', 'x' * 100000)\n", harmless: true},
	{name: "result", source: "def f():\n    return 'x' * 100000000\n", harmless: true}, // nobody reads it
}

// TestAttacks: of each the outcome is known, and its line where the worker died.
func TestAttacks(t *testing.T) {
	p := start(t, func(c *sandbox.Config) {
		c.Silence, c.Hello.MaxTicks = 2*time.Second, 4_000_000
		c.Hello.Signatures = append(c.Hello.Signatures, engine.Signature{
			Name: "note", Class: engine.Read, Version: 1, Positional: 1, Params: []engine.Param{{Name: "x", Kind: "any"}},
		}, engine.Signature{Name: "lock", Class: engine.Repeatable, Version: 1, Positional: 1, Params: []engine.Param{{Name: "name", Kind: "text"}}})
	})
	calm := load(t, p, threeGets)
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			c, err := p.StartAlone(t.Context(), run(load(t, p, a.source)))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			a.judge(t, c)
		})
	}
	if _, ended := finish(t, begin(t, p, run(calm)), echo); ended.Status != "done" {
		t.Errorf("afterwards: got %+v", ended)
	}
	if s := p.Status()[0]; s.Deaths != 0 {
		t.Errorf("got %d deaths of the shared worker", s.Deaths)
	}
}

// judge holds what became of an attack against what should.
func (a attack) judge(t *testing.T, c *sandbox.Call) {
	ended, err := answerAll(t, c)
	var death *sandbox.Death
	switch {
	case errors.As(err, &death):
		if !slices.Contains(a.died, death.Why) || !death.Suspect {
			t.Errorf("got %v (suspect: %v), want one of %v", death, death.Suspect, a.died)
		}
		if !strings.HasPrefix(death.At, "scripts/a.star:"+a.line+":") {
			t.Errorf("at %q, want line %s", death.At, a.line)
		}
	case err != nil:
		t.Fatal(err)
	case a.harmless:
		if ended.Status != "done" {
			t.Errorf("got %s: %v, want done", ended.Status, ended.Error)
		}
	case ended.Error == nil:
		t.Errorf("got %s, want %s%v", ended.Status, a.kind, a.died)
	case string(ended.Error.Kind) != a.kind || ended.Error.Cause != a.cause || !strings.Contains(ended.Error.Message, a.message):
		t.Errorf("got %s, cause %q: %.300v", ended.Error.Kind, ended.Error.Cause, ended.Error)
	case !strings.HasPrefix(ended.Error.At, "scripts/a.star:"):
		t.Errorf("at %q, want a line of the script", ended.Error.At)
	}
}

// answerAll answers steps until the call is over.
func answerAll(t *testing.T, c *sandbox.Call) (*wire.Ended, error) {
	for {
		e, err := c.Next(t.Context())
		if err != nil {
			return nil, err
		}
		switch e := e.(type) {
		case *wire.Ended:
			return e, nil
		case *wire.Step:
			if err := c.Answer(e, echo(e)); err != nil && !errors.Is(err, sandbox.ErrDied) {
				return nil, err
			}
		}
	}
}
