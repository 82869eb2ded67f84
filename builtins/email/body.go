package email

import (
	_ "embed"
	"html/template"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

//go:embed mail.html
var mailHTML string

// Both parts of a mail are made from the same letter, so that they say the same.
// Output: lines of the text part are not wrapped (quoted-printable does that);
// the HTML part has inline styles only, no remote content, no scripts.

const footer = "Sent automatically by Larkspur."

// plain makes the text part.
func (l letter) plain() string {
	var b strings.Builder
	block := func(text string) {
		if text = strings.TrimSpace(text); text != "" {
			b.WriteString(text + "\n\n")
		}
	}
	text := l.text
	if text == "" {
		text = textOf(l.html)
	}
	block(text)
	block(bullets(l.details))
	for _, s := range l.sections {
		if s.Title != "" {
			b.WriteString(s.Title + "\n" + strings.Repeat("-", len([]rune(s.Title))) + "\n")
		}
		block(s.Text)
		block(bullets(s.Details))
		block(tableText(s))
	}
	for _, k := range l.buttons {
		label := k.Label
		if k.Note != "" {
			label += " (" + strings.TrimSpace(k.Note) + ")"
		}
		block(label + ":\n" + k.URL)
	}
	return b.String() + "-- \n" + footer + "\n"
}

func bullets(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return "- " + strings.Join(list, "\n- ")
}

func tableText(s section) string {
	var b strings.Builder
	if len(s.Columns) > 0 {
		b.WriteString(strings.Join(s.Columns, " | ") + "\n")
	}
	for _, row := range s.Rows {
		b.WriteString(strings.Join(row, " | ") + "\n")
	}
	return b.String()
}

// rich makes the HTML part.
func (l letter) rich() (string, error) {
	page, err := template.New("mail").Funcs(template.FuncMap{"paragraphs": paragraphs}).Parse(mailHTML)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = page.Execute(&b, struct {
		Subject, Text, Footer string
		HTML                  template.HTML
		Details               []string
		Sections              []section
		Buttons               []button
	}{l.subject, l.text, footer, template.HTML(l.html), l.details, l.sections, l.buttons})
	return b.String(), err
}

// paragraphs splits text at empty lines, and each paragraph into its lines.
func paragraphs(text string) [][]string {
	var out [][]string
	for p := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n") {
		if p = strings.Trim(p, "\n"); strings.TrimSpace(p) != "" {
			out = append(out, strings.Split(p, "\n"))
		}
	}
	return out
}

// textOf returns what a reader of HTML would read, links with their addresses.
func textOf(source string) string {
	var b strings.Builder
	var href []string
	skip := 0
	z := html.NewTokenizer(strings.NewReader(source))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return tidy(b.String())
		case html.TextToken:
			if skip == 0 {
				b.WriteString(strings.Join(strings.Fields(" "+string(z.Text())+" "), " ") + " ")
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			b.WriteString(breakBefore(t.DataAtom))
			switch t.DataAtom {
			case atom.Script, atom.Style, atom.Title:
				if t.Type == html.StartTagToken {
					skip++
				}
			case atom.A:
				href = append(href, attribute(t, "href"))
			}
		case html.EndTagToken:
			t := z.Token()
			switch t.DataAtom {
			case atom.Script, atom.Style, atom.Title:
				skip = max(0, skip-1)
			case atom.A:
				if n := len(href); n > 0 {
					if href[n-1] != "" {
						b.WriteString("(" + href[n-1] + ") ")
					}
					href = href[:n-1]
				}
			}
			b.WriteString(breakBefore(t.DataAtom))
		}
	}
}

func breakBefore(a atom.Atom) string {
	switch a {
	case atom.P, atom.Div, atom.Table, atom.Ul, atom.Ol, atom.H1, atom.H2, atom.H3, atom.H4, atom.Blockquote, atom.Pre:
		return "\n\n"
	case atom.Br, atom.Tr, atom.Li:
		return "\n"
	}
	return ""
}

func attribute(t html.Token, name string) string {
	for _, a := range t.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// tidy drops spaces at the ends of lines and more than one empty line.
func tidy(s string) string {
	var lines []string
	for line := range strings.SplitSeq(s, "\n") {
		line = strings.TrimSpace(line)
		if line == "" && (len(lines) == 0 || lines[len(lines)-1] == "") {
			continue
		}
		lines = append(lines, line)
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}
