package feed

import (
	"encoding/json"
	"net/netip"
	"time"

	"larkspur/engine/capture"
)

// adguard reads querylog.json of AdGuard Home, one object a line: the answer is
// there as the message itself, so each line is a response. Without one it is the
// query that was not answered.
type adguard struct{}

func (adguard) pending() bool  { return false }
func (adguard) flush(*[]entry) {}

// adguardLine are the keys that we read (AdGuard Home, internal/querylog/entry.go).
type adguardLine struct {
	Time   time.Time `json:"T"`
	Name   string    `json:"QH"`
	Type   string    `json:"QT"`
	Class  string    `json:"QC"`
	Proto  string    `json:"CP"` // "", dot, doh, doq or dnscrypt
	Client string    `json:"IP"`
	Answer []byte    `json:"Answer"`
}

func (adguard) line(line []byte, out *[]entry) string {
	var l adguardLine
	if err := json.Unmarshal(line, &l); err != nil || l.Name == "" && l.Answer == nil {
		return badLine
	}
	addr, ok := parseAddr([]byte(l.Client))
	switch {
	case !ok:
		return badAddress
	case l.Time.IsZero():
		return badTime
	case len(l.Name) > maxNameText:
		return badName
	}
	e := entry{Said: capture.Said{
		Time: l.Time.UTC(), Client: netip.AddrPortFrom(addr, 0), Proto: capture.UDP,
		Name: l.Name, Type: l.Type, Class: l.Class,
	}}
	if l.Proto == "dot" || l.Proto == "doh" {
		e.Proto = capture.TCP
	}
	if len(l.Answer) > 0 {
		e.Response, e.wire = true, l.Answer
	}
	*out = append(*out, e)
	return ""
}
