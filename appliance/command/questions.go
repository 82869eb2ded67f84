package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"larkspur/engine"
)

func runQuestions(c *call) error {
	return c.client([]ask{
		{"list", "", func(q *question) error { return get(q, "questions"+q.query(), showQuestions) }},
		{"show", "ID", func(q *question) error { return get(q, "questions/"+q.id(), showQuestion) }},
		{"answer", "ID [CHOICE]", answerQuestion},
	})
}

// answerQuestion answers one: --choice, --field NAME=VALUE, --file NAME=PATH, --reason.
func answerQuestion(q *question) error {
	choice := q.opts.choice
	if len(q.args) > 1 {
		if choice != "" && choice != q.args[1] {
			return usagef("two choices: %q and --choice %q", q.args[1], choice)
		}
		choice = q.args[1]
	}
	path := "questions/" + q.id() + "/answer"
	if len(q.opts.file) > 0 {
		f, err := q.form(choice)
		if err != nil {
			return err
		}
		return post(q, path, f, decided)
	}
	body := map[string]any{"choice": choice}
	if q.opts.reason != "" {
		body["reason"] = q.opts.reason
	}
	fields, err := q.fields()
	if err != nil {
		return err
	}
	if len(fields) > 0 {
		body["fields"] = fields
	}
	return post(q, path, body, decided)
}

// fields are those of --fields and --field; a name that is given again is a list.
func (q *question) fields() (map[string]any, error) {
	fields := map[string]any{}
	if q.opts.fields != "" {
		if err := json.Unmarshal([]byte(q.opts.fields), &fields); err != nil {
			return nil, usagef("-fields: want a JSON object: %v", err)
		}
	}
	given := map[string][]string{}
	for _, pair := range q.opts.field {
		given[pair[0]] = append(given[pair[0]], pair[1])
	}
	for name, values := range given {
		if fields[name] = values; len(values) == 1 {
			fields[name] = values[0]
		}
	}
	return fields, nil
}

// form is a body with files.
type form struct {
	content bytes.Buffer
	kind    string
}

// form makes the body of an answer with files.
func (q *question) form(choice string) (*form, error) {
	if q.opts.fields != "" {
		return nil, usagef("-fields: with --file give each as --field NAME=VALUE")
	}
	f := &form{}
	w := multipart.NewWriter(&f.content)
	texts := [][2]string{{"choice", choice}, {"reason", q.opts.reason}}
	for _, pair := range q.opts.field {
		texts = append(texts, [2]string{"field." + pair[0], pair[1]})
	}
	for _, t := range texts {
		if err := w.WriteField(t[0], t[1]); err != nil {
			return nil, err
		}
	}
	for _, pair := range q.opts.file {
		if err := addFile(w, pair[0], pair[1]); err != nil {
			return nil, err
		}
	}
	f.kind = w.FormDataContentType()
	return f, w.Close()
}

func addFile(w *multipart.Writer, field, path string) error {
	in, err := os.Open(path)
	if err != nil {
		return engine.WrapError(engine.Invalid, err, "--file "+field)
	}
	defer in.Close()
	part, err := w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {multipart.FileContentDisposition("field."+field, filepath.Base(path))},
		"Content-Type":        {"application/octet-stream"},
	})
	if err != nil {
		return err
	}
	n, err := io.Copy(part, io.LimitReader(in, engine.MaxUploadBytes+1))
	if err == nil && n > engine.MaxUploadBytes {
		err = engine.Errorf(engine.Invalid, "--file %s: %q has more than 25 MB", field, path)
	}
	return err
}

func showQuestions(w io.Writer, p page[engine.Question]) {
	fmt.Fprintln(w, "ID\tSTATUS\tASKED\tDUE\tINCIDENT\tQUESTION\tCHOICES")
	for _, q := range p.Items {
		var choices []string
		for _, c := range q.Choices {
			choices = append(choices, c.Name)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.80s\t%q\n", q.ID, q.Status, stamp(q.Asked), stamp(q.Due), q.Incident, q.Text, choices)
	}
}

// showQuestion shows one whole: what it asks for, and what was said.
func showQuestion(w io.Writer, q engine.Question) {
	fmt.Fprintf(w, "%s\t%s\t%s\n", q.ID, q.Status, q.Text)
	to := make([]string, len(q.To))
	for i, a := range q.To {
		to[i] = a.String()
	}
	fmt.Fprintf(w, "asked\t%s\tof %s\n", stamp(q.Asked), strings.Join(to, ", "))
	if !q.Due.IsZero() {
		fmt.Fprintf(w, "due\t%s\tdefault %q\n", stamp(q.Due), q.Default)
	}
	if q.Quorum > 0 {
		fmt.Fprintf(w, "quorum\t%d\tdifferent people have to say the same\n", q.Quorum)
	}
	for _, c := range q.Choices {
		fmt.Fprintf(w, "choice\t%s\t%s\n", c.Name, c.Consequence)
	}
	for _, f := range q.Fields {
		fmt.Fprintf(w, "field\t%s\t%s %s\n", f.Name, f.Kind, strings.Join(f.Choices, ", "))
	}
	answers := q.Answers
	if q.Answer != nil && !slices.ContainsFunc(answers, func(a engine.Answer) bool { return a.By == q.Answer.By && a.At.Equal(q.Answer.At) }) {
		answers = append(slices.Clone(answers), *q.Answer)
	}
	for _, a := range answers {
		fmt.Fprintf(w, "answer\t%s\tby %s, %s %s %s\n", a.Choice, a.By, stamp(a.At), a.Reason, a.Fields)
	}
}

func runMails(c *call) error {
	return c.client([]ask{{"list", "", func(q *question) error { return get(q, "mails?limit="+fmt.Sprint(q.opts.limit), showMails) }}})
}

func showMails(w io.Writer, p page[engine.Mail]) {
	fmt.Fprintln(w, "RUN\tTO\tSUBJECT\tTRIES\tNEXT\tINCIDENT\tWHAT THE SERVER SAID")
	for _, m := range p.Items {
		fmt.Fprintf(w, "%s\t%s\t%.60s\t%d\t%s\t%s\t%s\n", m.Run, strings.Join(m.To, ", "), m.Subject, m.Tries, stamp(m.Next), m.Incident, m.Error)
	}
}
