package command

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"larkspur/engine"
	"larkspur/engine/calendar"
	"larkspur/engine/sandbox"
	"larkspur/engine/wire"
	"larkspur/scripts"
	"larkspur/scripts/library"
)

// shipped returns the playbooks of the library with their parameters, as a worker
// reads them from its scripts.
func (c *call) shipped() (list []engine.Playbook, err error) {
	logTo(c.stderr, slog.LevelError, false) // what contains the worker is no matter here
	files := library.Files()
	err = c.withWorker(func(pool *sandbox.Pool) error {
		loaded, err := pool.Load(c.ctx, wire.Load{Bundle: engine.Bundle{Hash: scripts.Hash(files), Files: files}, Timezone: "UTC"})
		list = loaded.Declarations.Playbooks
		return err
	})
	return list, err
}

// printAll prints the list of everything: words, builtins, playbooks.
func (c *call) printAll(words []entry) error {
	shipped, err := c.shipped()
	if err != nil {
		return err
	}
	for _, p := range shipped {
		words = append(words, entry{name: p.Name, does: p.Doc})
	}
	c.printEntries(words)
	return nil
}

// printPlaybook prints what larkspur.yaml may say of a playbook.
func (c *call) printPlaybook(name string) error {
	shipped, err := c.shipped()
	if err != nil {
		return err
	}
	p := shipped[slices.IndexFunc(shipped, func(p engine.Playbook) bool { return p.Name == name })]
	example := []string{"name: …"}
	var rows strings.Builder
	row(&rows, "name", "text", "its own: small letters, digits and -; several instances have several names")
	for _, param := range p.Params {
		says := param.Doc
		if !param.Optional {
			example = append(example, param.Name+": …")
		} else if text := shownDefault(param.Default); text != "" {
			says += " (default " + text + ")"
		}
		row(&rows, param.Name, kindOf(param), says)
	}
	_, err = fmt.Fprintf(c.stdout, "%s, a playbook of the library\n\n%s\n\nSwitched on in larkspur.yaml:\n\n    playbooks:\n      - %s: {%s}\n\n%s",
		p.Name, p.Doc, p.Name, strings.Join(example, ", "), rows.String())
	return err
}

func row(b *strings.Builder, name, kind, says string) {
	fmt.Fprintf(b, "%-12s %-18s %s\n", name, kind, says)
}

// kindOf names what a parameter takes.
func kindOf(p engine.PlaybookParam) string {
	switch {
	case p.Section != "":
		return "connections." + p.Section
	case len(p.Choices) > 0:
		return strings.Join(p.Choices, ", ")
	case p.Of != nil:
		return "list of " + kindOf(*p.Of)
	case p.Kind == "who":
		return "person or team"
	}
	return p.Kind
}

// shownDefault writes a default as larkspur.yaml would; "" for nothing.
func shownDefault(d engine.Data) string {
	v, err := d.Value()
	if err != nil || v == nil || v == "" {
		return ""
	}
	if span, ok := v.(time.Duration); ok {
		return calendar.FormatDuration(span)
	}
	return strings.Trim(string(d), `"`)
}
