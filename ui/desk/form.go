package desk

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"larkspur/engine"
)

// An answer comes as a form: application/x-www-form-urlencoded, or, with files,
// multipart/form-data. Its parts are choice, reason, typed, and field.NAME for
// each field: a text, several for the kind "many", or a file.

// fieldPrefix begins the names of a form's fields.
const fieldPrefix = "field."

// MaxAnswerBytes bounds the body of an answer: its files, and a megabyte for the rest.
const MaxAnswerBytes = engine.MaxUploadBytes + 1<<20

// ParseForm reads a posted form of either kind. Files stay in memory, which the
// route's limit bounds: nothing of them touches a disk before it is an answer's.
func ParseForm(r *http.Request) error {
	if !IsMultipart(r) {
		return r.ParseForm()
	}
	if r.MultipartForm != nil {
		return nil
	}
	return r.ParseMultipartForm(2 * MaxAnswerBytes)
}

// IsMultipart reports whether a request's body is a form with parts.
func IsMultipart(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "multipart/form-data"
}

// FormInput is what somebody gave by a form that ParseForm has read. A file without
// a name and content is what a browser sends of an input that was left empty.
func FormInput(r *http.Request) (Input, error) {
	in := Input{
		Choice: r.PostForm.Get("choice"), Reason: r.PostForm.Get("reason"), Typed: r.PostForm.Get("typed"),
		Fields: map[string][]string{}, Files: map[string][]engine.Upload{},
	}
	for key, values := range r.PostForm {
		if name, ok := strings.CutPrefix(key, fieldPrefix); ok {
			in.Fields[name] = values
		}
	}
	if r.MultipartForm == nil {
		return in, nil
	}
	for key, files := range r.MultipartForm.File {
		name, ok := strings.CutPrefix(key, fieldPrefix)
		if !ok {
			return in, engine.Errorf(engine.Invalid, "the form has a file %.60q that belongs to no field", key).WithHint("files are parts named field.NAME")
		}
		for _, f := range files {
			up, err := upload(f)
			if err != nil {
				return in, err
			}
			if up.Name != "" || len(up.Content) > 0 {
				in.Files[name] = append(in.Files[name], up)
			}
		}
	}
	return in, nil
}

func upload(h *multipart.FileHeader) (engine.Upload, error) {
	f, err := h.Open()
	if err != nil {
		return engine.Upload{}, engine.WrapError(engine.Invalid, err, "a file of the form")
	}
	content, err := io.ReadAll(io.LimitReader(f, MaxAnswerBytes))
	if err = errors.Join(err, f.Close()); err != nil {
		return engine.Upload{}, engine.WrapError(engine.Invalid, err, "a file of the form")
	}
	kind, _, err := mime.ParseMediaType(h.Header.Get("Content-Type"))
	if err != nil {
		kind = ""
	}
	return engine.Upload{Name: h.Filename, Type: kind, Content: content}, nil
}
