package engine

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strconv"
	"strings"
)

// linkEncoding keeps tokens short enough for a mail and safe in any URL.
var linkEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// LinkToken is the token by which a person answers a question: 160 bits of
// HMAC-SHA256 over question, person and revision under the box's key, so that it
// is the same again after a crash and need not be stored.
func LinkToken(key []byte, question, person string, revision int) string {
	m := hmac.New(sha256.New, key)
	fmt.Fprintf(m, "link\x00%s\x00%s\x00%d", question, person, revision)
	return linkEncoding.EncodeToString(m.Sum(nil)[:20])
}

// LinkSecret is the handle of a link: what a journal holds in place of the
// token. The door of package builtins expands it.
func LinkSecret(question, person string, revision int) Secret {
	return Secret{Name: linkPrefix + question + ":" + strconv.Itoa(revision) + ":" + person}
}

// ParseLinkSecret reads the name that LinkSecret made.
func ParseLinkSecret(name string) (question, person string, revision int, ok bool) {
	parts := strings.SplitN(name, ":", 4)
	if len(parts) != 4 || parts[0] != "link" {
		return "", "", 0, false
	}
	revision, err := strconv.Atoi(parts[2])
	return parts[1], parts[3], revision, err == nil
}
