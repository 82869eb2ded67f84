package command

import (
	"fmt"
	"strings"

	"larkspur/builtins"
	"larkspur/engine"
	"larkspur/engine/runner"
)

// runDoc prints the reference of one builtin, or the list of all.
func runDoc(c *call) error {
	args, err := c.flags(nil)
	if err != nil {
		return err
	}
	all := append(runner.Signatures(), builtins.Signatures()...)
	if len(args) == 0 {
		for _, s := range all {
			if !s.Internal {
				fmt.Fprintf(c.stdout, "%-20s %s\n", s.Name, s.Doc)
			}
		}
		return nil
	}
	if page, ok := builtins.Doc(args[0]); ok {
		_, err := fmt.Fprint(c.stdout, page)
		return err
	}
	for _, s := range all {
		if s.Name == args[0] && !s.Internal {
			printSignature(c, s)
			return nil
		}
	}
	return engine.Errorf(engine.NotFound, "doc: there is no builtin %q", args[0]).WithHint("larkspur doc lists them")
}

func printSignature(c *call, s engine.Signature) {
	var params []string
	for i, p := range s.Params {
		text := p.Name
		if len(p.Default) > 0 {
			text += "=" + string(p.Default)
		} else if !p.Required {
			text += "=None"
		}
		if i == s.Positional && i > 0 {
			text = "*, " + text
		}
		params = append(params, text)
	}
	fmt.Fprintf(c.stdout, "%s(%s)\n\n%s\n", s.Name, strings.Join(params, ", "), s.Doc)
}
