package runner

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/idna"

	"larkspur/engine"
	"larkspur/engine/field"
	"larkspur/engine/record"
	"larkspur/engine/wire"
)

// Bounds of what runs put on an incident.
const (
	maxAttachmentBytes = 25 << 20
	maxAttachments     = 100
	maxIndicators      = 1000
	maxValueBytes      = 2000
	maxSourceBytes     = 200
)

// attachWord is the word whose arguments are not recorded as they are: the content
// is a blob.
const attachWord = "incident.attach"

// performAttach keeps the content as a blob, and records what names it.
func performAttach(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	id := text(args["incident"])
	a, content, err := c.attachmentOf(args)
	if err == nil {
		err = c.roomFor(id, record.ActAttach)
	}
	if err != nil && engine.KindOf(err) == engine.Unavailable {
		return wire.Answer{}, parked, err
	}
	if err != nil {
		return c.refuse(bare(s), asStepError(err, s))
	}
	sum, err := c.r.cfg.State.KeepBlob(content)
	if err != nil {
		return wire.Answer{}, parked, err
	}
	a.SHA256 = sum
	c.blobs = append(c.blobs, sum) // in shadow no record names it, and it goes
	done := c.describe(s)
	shown := map[string]engine.Value{"incident": id, "name": a.Name, "data": map[string]engine.Value{"type": a.Type, "size": a.Size, "sha256": a.SHA256}}
	done.Args = engine.MustEncode(shown)
	if c.run.Mode == modeShadow {
		return c.answer(done, nil, nil)
	}
	done.Blob = sum
	return c.actOn(ctx, s, done, record.IncidentAct{Act: record.ActAttach, Incident: id, By: "run " + c.run.ID, Attachment: &a})
}

// bare is a step without its arguments, which may be larger than a record.
func bare(s *wire.Step) *wire.Step {
	b := *s
	b.Args = nil
	return &b
}

// attachmentOf takes a text, bytes, or what a builtin returns as attachment: name,
// type, and data or sha256.
func (c *carrier) attachmentOf(args map[string]engine.Value) (a engine.Attachment, content []byte, err error) {
	name, data := text(args["name"]), args["data"]
	if v, ok := data.(engine.Struct); ok {
		data = v.Fields
	}
	a.Type = "application/octet-stream"
	switch v := data.(type) {
	case string:
		content, a.Type = []byte(v), "text/plain"
	case engine.Bytes:
		content = v
	case map[string]engine.Value:
		a.Type = field.MediaType(text(v["type"]))
		if content, err = c.contentOf(v); err != nil {
			return a, nil, err
		}
	default:
		return a, nil, engine.Errorf(engine.Invalid, "i.attach: data: got %s, want a text, bytes, or an attachment", display(data))
	}
	a.Name, a.Size = field.FileName(name), int64(len(content))
	switch {
	case a.Name == "":
		return a, nil, engine.Errorf(engine.Invalid, "i.attach: name: got %.80q, want the name of a file", name)
	case a.Size > maxAttachmentBytes:
		return a, nil, engine.Errorf(engine.Invalid, "i.attach: %q has %d bytes, at most %d MB", a.Name, a.Size, maxAttachmentBytes>>20)
	}
	return a, content, nil
}

func (c *carrier) contentOf(v map[string]engine.Value) ([]byte, error) {
	switch data := v["data"].(type) {
	case string:
		return []byte(data), nil
	case engine.Bytes:
		return data, nil
	}
	sum := text(v["sha256"])
	if !sha256Hex.MatchString(sum) {
		return nil, engine.Errorf(engine.Invalid, "i.attach: data: it has neither data nor sha256")
	}
	return c.r.cfg.State.Blob(sum)
}

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

// roomFor refuses what an incident has no room for. Those of two runs at once may
// pass together: the bound is far from what a page holds.
func (c *carrier) roomFor(incident, act string) error {
	if c.run.Mode == modeShadow {
		return nil
	}
	if err := c.exists(incident); err != nil {
		return err
	}
	n, most := 0, maxIndicators
	indicators, err := c.r.cfg.State.Indicators(incident)
	if n = len(indicators); act == record.ActAttach && err == nil {
		var files []engine.Attachment
		files, err = c.r.cfg.State.Attachments(incident)
		n, most = len(files), maxAttachments
	}
	if err == nil && n+c.evidence >= most {
		return engine.Errorf(engine.Conflict, "i.%s: the incident has %d already, at most %d", act, n+c.evidence, most)
	}
	c.evidence++
	return err
}

func performIndicator(ctx context.Context, c *carrier, s *wire.Step, args map[string]engine.Value) (wire.Answer, verdict, error) {
	id := text(args["incident"])
	one, err := indicatorOf(args)
	if err == nil {
		err = c.roomFor(id, record.ActIndicator)
	}
	if err != nil {
		return c.refuse(s, asStepError(err, s))
	}
	if c.run.Mode == modeShadow {
		return c.answer(c.describe(s), nil, nil)
	}
	return c.actOn(ctx, s, c.describe(s), record.IncidentAct{Act: record.ActIndicator, Incident: id, By: "run " + c.run.ID, Indicator: &one})
}

func indicatorOf(args map[string]engine.Value) (one engine.Indicator, err error) {
	given := strings.TrimSpace(text(args["value"]))
	if one.Kind, one.Value = Recognize(given); one.Kind == "" || len(one.Value) > maxValueBytes {
		return one, engine.Errorf(engine.Invalid, "i.indicator: value: got %.80q, want an IP address, a domain, a URL, a hash or a mail address", given)
	}
	if one.Verdict = text(args["verdict"]); !slices.Contains(engine.Verdicts, one.Verdict) {
		return one, engine.Errorf(engine.Invalid, "i.indicator: verdict: got %.40q, want malicious, suspicious, clean or unknown", one.Verdict)
	}
	sources := listOf(args["source"])
	if name, ok := args["source"].(string); ok {
		sources = []engine.Value{name}
	}
	one.Sources = []string{}
	for _, v := range sources {
		name, ok := v.(string)
		if !ok || name == "" || len(name) > maxSourceBytes {
			return one, engine.Errorf(engine.Invalid, "i.indicator: source: got %s, want a name, or a list of them", display(v))
		}
		if !slices.Contains(one.Sources, name) {
			one.Sources = append(one.Sources, name)
		}
	}
	if len(one.Sources) > 20 {
		return one, engine.Errorf(engine.Invalid, "i.indicator: got %d sources, at most 20", len(one.Sources))
	}
	return one, nil
}

// hexHash is MD5, SHA-1, SHA-256 or SHA-512.
var hexHash = regexp.MustCompile(`^([0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{128})$`)

// Recognize tells what kind of value something is, and writes it in its one
// spelling: addresses, names and hashes in lower case, defanged ones (hxxp,
// example[.]org) as they were. The kind is "" for anything else.
func Recognize(given string) (kind, value string) {
	v := strings.NewReplacer("[.]", ".", "(.)", ".", "[:]", ":", "[@]", "@", "[at]", "@").Replace(given)
	if scheme, rest, ok := strings.Cut(v, "://"); ok {
		if len(scheme) == 4 || len(scheme) == 5 {
			scheme = strings.Replace(strings.ToLower(scheme), "hxxp", "http", 1)
		}
		u, err := url.Parse(scheme + "://" + rest)
		if err != nil || u.Hostname() == "" || strings.ContainsFunc(v, unicode.IsSpace) {
			return "", ""
		}
		u.Scheme, u.Host = strings.ToLower(u.Scheme), strings.ToLower(u.Host)
		return engine.IndicatorURL, u.String()
	}
	lower := strings.ToLower(v)
	if hexHash.MatchString(lower) {
		return engine.IndicatorHash, lower
	}
	if a, err := netip.ParseAddr(lower); err == nil {
		return engine.IndicatorIP, a.WithZone("").Unmap().String()
	}
	if _, n, err := net.ParseCIDR(lower); err == nil {
		return engine.IndicatorIP, n.String()
	}
	if local, domain, ok := strings.Cut(lower, "@"); ok {
		if name := domainOf(domain); name != "" && local != "" && !strings.ContainsFunc(local, unicode.IsSpace) && !strings.Contains(local, "@") {
			return engine.IndicatorEmail, local + "@" + name
		}
		return "", ""
	}
	if name := domainOf(lower); name != "" {
		return engine.IndicatorDomain, name
	}
	return "", ""
}

// names maps domains to A-labels as browsers do.
var names = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false))

// domainOf is a domain name without its last dot, "" for what is none.
func domainOf(name string) string {
	ascii, err := names.ToASCII(strings.TrimSuffix(name, "."))
	if err != nil || len(ascii) > 253 || !strings.Contains(ascii, ".") {
		return ""
	}
	labels := strings.Split(ascii, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return ""
		}
	}
	if strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		return ""
	}
	return ascii
}
