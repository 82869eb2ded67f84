package page_test

import (
	"bytes"
	"mime/multipart"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/ui/uitest"
)

// multi is a form as a browser sends it with a file.
func multi(t *testing.T, form url.Values, name, file, content string) (kind, body string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for key, values := range form {
		for _, v := range values {
			if err := w.WriteField(key, v); err != nil {
				t.Fatal(err)
			}
		}
	}
	part, err := w.CreateFormFile(name, file)
	if err == nil {
		_, err = part.Write([]byte(content))
	}
	if err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), b.String()
}

func TestLinkTakesAFile(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	w := uitest.Sample(t, address)
	w.Has.Questions[0].Fields = []engine.Field{{Name: "invoice", Kind: engine.FieldFile, Required: true}, {Name: "why", Kind: engine.FieldText}}
	v := w.Visit(t, "")
	p := v.Get(formPath).Want(200, `type="file"`, `enctype="multipart/form-data"`, "At most 25 MB")
	kind, body := multi(t, p.Form("field.why", "kept"), "field.invoice", "", "")
	v.Do("POST", formPath, kind, body).Want(422, "Invoice must be filled in", `value="kept"`)
	kind, body = multi(t, p.Form(), "field.invoice", "../an invoice.pdf", strings.Repeat("%PDF ", 1<<20))
	v.Do("POST", formPath, kind, body).Want(200, "Thank you")
	if got := w.Logged(); !strings.Contains(got, `"name":"an invoice.pdf"`) || !strings.Contains(got, `"size":5242880`) {
		t.Errorf("got %s", got)
	}
	if left, _ := os.ReadDir(tmp); len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
	w.Has.Questions[0].Status = engine.QuestionOpen
	kind, body = multi(t, p.Form(), "field.invoice", "x", strings.Repeat("x", 27<<20))
	v.Do("POST", formPath, kind, body).Want(413)
	v.Do("POST", "/larkspur/a/none", kind, body).Want(413)
}

func TestLinkOfAQuestionThatSeveralDecide(t *testing.T) {
	w := uitest.Sample(t, address)
	q := &w.Has.Questions[1]
	q.Quorum = 2
	v := w.Visit(t, "").Pair(linkPath)
	v.Get(linkPath).Want(200, "<b>2</b> of them have to give the same answer").Lacks("The first answer counts")
	q.Answers = []engine.Answer{{Choice: "Block", By: "dave", Seat: 1, At: w.Now()}}
	v.Get(linkPath).Want(200, "You said <b>Block</b>", "you may change your mind", "<b>dave</b>: Block")
	w.Visit(t, "ana").Get("/larkspur/questions/"+uitest.OpenQ).Want(200, "<b>dave</b>: Block").Lacks("You said")
	q.Answers = append(q.Answers, engine.Answer{Choice: "Block", By: "ana", Seat: 2, At: w.Now()})
	q.Status, q.Answer = engine.QuestionAnswered, &engine.Answer{Choice: "Block", By: "dave", At: w.Now()}
	v.Get(linkPath).Want(409, "<b>dave</b>: Block", "<b>ana</b>: Block")
}

// TestLinkTellsWhatTheRunDid: to whom it was put, in a paired browser; whoever merely
// has the link reads that it was answered.
func TestLinkTellsWhatTheRunDid(t *testing.T) {
	w := uitest.Sample(t, address)
	v := w.Visit(t, "").Pair(linkPath)
	v.Post(linkPath, v.Get(linkPath).Form("choice", "Block")).Want(200, "Thank you", "The playbook waits for question q0-7", `http-equiv="refresh" content="5;url=/larkspur/a/`)
	w.Pass(time.Minute)
	w.Has.Stories[uitest.OpenID] = append(w.Has.Stories[uitest.OpenID], engine.TimelineEntry{
		Record: 9, Time: w.Now(), Kind: "step_done", By: "run r0-17", Text: "changed: block 02:00:00:00:00:07 on home", Run: uitest.RunID,
	})
	w.Has.Changes[0].Made = w.Now()
	for i := range w.Has.Runs {
		if w.Has.Runs[i].ID == uitest.RunID {
			w.Has.Runs[i].Ended = w.Now()
		}
	}
	v.Get(linkPath).Want(409, "Since then", "changed: block 02:00:00:00:00:07 on home", "Undo now").Lacks("http-equiv", "the phone is away")
	w.Visit(t, "").Get(linkPath).Want(409, "<b>Block</b> by dave").Lacks("changed: block", "Undo now", "http-equiv")
	w.Visit(t, "ben").Get(linkPath).Want(409, "changed: block").Lacks("Undo now") // an approver
}

// TestQuestionPagesAreSmall: on the worst line.
func TestQuestionPagesAreSmall(t *testing.T) {
	w := uitest.Sample(t, address)
	nobody, dave := w.Visit(t, ""), w.Visit(t, "").Pair(linkPath)
	for name, p := range map[string]uitest.Page{"unpaired": nobody.Get(linkPath), "form": nobody.Get(formPath), "paired": dave.Get(linkPath), "unknown": nobody.Get("/larkspur/a/x")} {
		if len(p.Body) > 14<<10 {
			t.Errorf("%s: got %d bytes, want at most 14 KB", name, len(p.Body))
		}
	}
}
