package ssh

import (
	"errors"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/crypto/ssh"

	"larkspur/builtins/reach"
	"larkspur/engine"
)

// fault gives an error of a connection its kind. What the other end says enters
// it in one short line.
func fault(err error, doing string) *engine.Error {
	var told *engine.Error
	if errors.As(err, &told) && strings.HasPrefix(told.Message, doing) {
		return told
	}
	var refused *ssh.OpenChannelError
	if errors.As(err, &refused) {
		return engine.Errorf(engine.Unavailable, "%s: the host opens no session: %s", doing, plain(refused.Message))
	}
	e := reach.Fault(err, doing, "")
	if told == nil {
		e.Message = doing + ": " + plain(strings.TrimPrefix(e.Message, doing+": "))
	}
	return e
}

// Reasons of a disconnection that are about who we are (RFC 4253 §11.1).
var turnedAway = regexp.MustCompile(`ssh: disconnect, reason (11|13|14|15):|(?i:authentication failures)`)

// authFault says that a host does not take our key, nil for other errors.
func (a account) authFault(err error, id identity) *engine.Error {
	if !strings.Contains(err.Error(), "ssh: unable to authenticate") && !turnedAway.MatchString(err.Error()) {
		return nil
	}
	e := engine.Errorf(engine.Denied, "the host does not take the key in %s.key for user %s", a.key, a.user)
	if a.certificate != "" {
		return e.WithHint("nor its certificate: look at the principals in it, and at TrustedUserCAKeys on the host")
	}
	return e.WithHint("add this line to ~%s/.ssh/authorized_keys on the host: %s", a.user, id.public)
}

// beyondFault gives a refusal of a jump host to connect its kind.
func beyondFault(err error, doing, jump string) *engine.Error {
	var refused *ssh.OpenChannelError
	if !errors.As(err, &refused) {
		return fault(err, doing+": by way of "+jump)
	}
	text := strings.ToLower(refused.Message)
	at := doing + ": seen from " + jump + ", "
	switch {
	case refused.Reason == ssh.Prohibited:
		return engine.Errorf(engine.Denied, "%s: the jump host %s does not forward", doing, jump).
			WithHint("AllowTcpForwarding on that host, or permitopen of our key, forbids it")
	case strings.Contains(text, "refused"):
		return engine.Errorf(engine.Unavailable, "%sthe connection was refused", at).WithCause("refused")
	case strings.Contains(text, "no route"), strings.Contains(text, "unreachable"):
		return engine.Errorf(engine.Unavailable, "%sthere is no route to it", at).WithCause("unreachable")
	case strings.Contains(text, "not known"), strings.Contains(text, "resolution"), strings.Contains(text, "no address"):
		return engine.Errorf(engine.Unavailable, "%sthe name does not exist", at).WithCause("name")
	case strings.Contains(text, "timed out"):
		return engine.Errorf(engine.Timeout, "%sno answer in time", at)
	}
	return engine.Errorf(engine.Unavailable, "%sit cannot be reached: %s", at, plain(refused.Message))
}

// maxPlainRunes bounds what the other end may say in an error.
const maxPlainRunes = 300

// plain is outside text on one short line.
func plain(s string) string {
	out := make([]rune, 0, min(len(s), maxPlainRunes+1))
	for _, r := range s {
		if len(out) == maxPlainRunes {
			return string(out) + "…"
		}
		if !unicode.IsPrint(r) {
			r = ' '
		}
		out = append(out, r)
	}
	return strings.TrimSpace(string(out))
}
