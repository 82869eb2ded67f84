package rules

import (
	"regexp"

	"larkspur/engine"
)

// hookName is what may stand in the address of a webhook.
var hookName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// webhookFilter is one on.webhook.
type webhookFilter struct{ name string }

func (f webhookFilter) matches(e *engine.Event) bool { return e.Source == f.name }

// webhookFilter compiles the arguments of one on.webhook and notes the secret
// that guards the hook: the one given, else the one named like the hook.
func (c *compiler) webhookFilter(args *arguments, rule *engine.Rule) filter {
	args.only("name", "secret")
	name := args.text("name")
	if !hookName.MatchString(name) {
		c.problem("on.webhook: name: got %q, want letters a-z, digits, dots, hyphens or underscores, at most 64", name)
		return nil
	}
	secret := name
	switch v := args.values["secret"].(type) {
	case nil:
	case engine.Secret:
		secret = v.Name
	default:
		args.wrong("secret", v, `secret("NAME")`)
	}
	if other, known := c.set.hooks[name]; known && other != secret {
		c.problem("on.webhook: rule %q guards hook %q with secret %q, another rule with %q", rule.Name, name, secret, other).
			Hint = "one address has one secret; give the hooks different names"
		return nil
	}
	c.set.hooks[name] = secret
	return webhookFilter{name}
}
