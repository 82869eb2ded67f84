package mailbox

import (
	"html/template"
	"regexp"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Sanitizing: only the tags, attributes and styles listed here come through,
// written anew from their parts; everything else becomes text or nothing. Links
// keep http, https and mailto. Nothing remote is loaded. The page's
// Content-Security-Policy stands behind it.

// maxOpenTags bounds nesting.
const maxOpenTags = 100

// allowed are the tags that come through.
var allowed = map[atom.Atom]bool{
	atom.A: true, atom.B: true, atom.Blockquote: true, atom.Br: true, atom.Code: true, atom.Div: true, atom.Em: true,
	atom.H1: true, atom.H2: true, atom.H3: true, atom.H4: true, atom.Hr: true, atom.I: true, atom.Li: true, atom.Ol: true,
	atom.P: true, atom.Pre: true, atom.Span: true, atom.Strong: true, atom.Table: true, atom.Tbody: true, atom.Td: true,
	atom.Th: true, atom.Thead: true, atom.Tr: true, atom.U: true, atom.Ul: true,
}

// hidden are the tags whose content is dropped with them.
var hidden = map[string]bool{"script": true, "style": true, "title": true, "textarea": true, "iframe": true, "noembed": true,
	"noframes": true, "noscript": true, "xmp": true, "plaintext": true, "svg": true, "math": true, "template": true, "select": true, "object": true}

// sanitize returns HTML that can stand in a page of ours.
func sanitize(source string) template.HTML {
	s := sanitizer{}
	z := html.NewTokenizer(strings.NewReader(source))
	for {
		switch z.Next() {
		case html.ErrorToken:
			s.closeTo(0)
			return template.HTML(s.out.String())
		case html.TextToken:
			if s.hiding == "" {
				s.out.WriteString(html.EscapeString(string(z.Text())))
			}
		case html.StartTagToken:
			s.start(z.Token(), false)
		case html.SelfClosingTagToken:
			s.start(z.Token(), true)
		case html.EndTagToken:
			s.end(z.Token())
		}
	}
}

type sanitizer struct {
	out    strings.Builder
	open   []atom.Atom
	hiding string
	depth  int // of tags of the name that hides
}

func (s *sanitizer) start(t html.Token, selfClosing bool) {
	name := strings.ToLower(t.Data)
	switch {
	case s.hiding != "":
		if name == s.hiding && !selfClosing {
			s.depth++
		}
	case hidden[name]:
		if !selfClosing || name == "script" || name == "style" {
			s.hiding, s.depth = name, 1
		}
	case t.DataAtom == atom.Br || t.DataAtom == atom.Hr:
		s.out.WriteString("<" + t.DataAtom.String() + ">")
	case allowed[t.DataAtom] && len(s.open) < maxOpenTags && !selfClosing:
		s.out.WriteString("<" + t.DataAtom.String() + attributes(t) + ">")
		s.open = append(s.open, t.DataAtom)
	}
}

func (s *sanitizer) end(t html.Token) {
	if s.hiding != "" {
		if strings.ToLower(t.Data) == s.hiding {
			if s.depth--; s.depth == 0 {
				s.hiding = ""
			}
		}
		return
	}
	for i := len(s.open) - 1; i >= 0; i-- {
		if s.open[i] == t.DataAtom {
			s.closeTo(i)
			return
		}
	}
}

// closeTo closes open tags until n are left.
func (s *sanitizer) closeTo(n int) {
	for len(s.open) > n {
		last := len(s.open) - 1
		s.out.WriteString("</" + s.open[last].String() + ">")
		s.open = s.open[:last]
	}
}

// link is what an address may begin with.
var link = regexp.MustCompile(`^(?i:https?://|mailto:)[^\s\x00-\x1f]+$`)

func attributes(t html.Token) string {
	var b strings.Builder
	for _, a := range t.Attr {
		switch {
		case a.Key == "href" && t.DataAtom == atom.A && link.MatchString(a.Val):
			b.WriteString(` href="` + html.EscapeString(a.Val) + `" rel="noreferrer"`)
		case a.Key == "style":
			if style := styles(a.Val); style != "" {
				b.WriteString(` style="` + html.EscapeString(style) + `"`)
			}
		}
	}
	return b.String()
}

// property and value are what comes through of a style: no position, no
// function but those of colours, nothing that loads.
var (
	property = regexp.MustCompile(`^(color|background|background-color|font|font-size|font-weight|font-style|font-family|line-height|text-align|text-decoration|margin|margin-(top|right|bottom|left)|padding|padding-(top|right|bottom|left)|border|border-(top|right|bottom|left|radius|collapse|color)|display|width|max-width)$`)
	value    = regexp.MustCompile(`^[#a-zA-Z0-9 .,%/'-]{1,160}$`)
)

func styles(text string) string {
	var out []string
	for declaration := range strings.SplitSeq(text, ";") {
		name, val, _ := strings.Cut(declaration, ":")
		name, val = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(val)
		if property.MatchString(name) && value.MatchString(val) {
			out = append(out, name+":"+val)
		}
	}
	return strings.Join(out, ";")
}

// address finds links in text.
var address = regexp.MustCompile(`https?://[^\s<>"']+`)

// linked returns text as HTML with its links made clickable.
func linked(text string) template.HTML {
	var b strings.Builder
	at := 0
	for _, span := range address.FindAllStringIndex(text, -1) {
		b.WriteString(html.EscapeString(text[at:span[0]]))
		u := html.EscapeString(text[span[0]:span[1]])
		b.WriteString(`<a href="` + u + `" rel="noreferrer">` + u + `</a>`)
		at = span[1]
	}
	b.WriteString(html.EscapeString(text[at:]))
	return template.HTML(b.String())
}
