package api_test

import (
	"bytes"
	"mime/multipart"
	"strings"
	"testing"
	"time"

	"larkspur/engine"
	"larkspur/ui/uitest"
)

// parts is a form with files: field.NAME=@FILE is one.
func parts(t *testing.T, pairs ...string) (kind, body string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for n := 0; n < len(pairs); n += 2 {
		if content, file := strings.CutPrefix(pairs[n+1], "@"); file {
			p, err := w.CreateFormFile(pairs[n], "../log.txt")
			if err != nil {
				t.Fatal(err)
			}
			p.Write([]byte(content))
		} else if err := w.WriteField(pairs[n], pairs[n+1]); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	return w.FormDataContentType(), b.String()
}

func TestAnswerWithAFile(t *testing.T) {
	w := uitest.Sample(t, address)
	q := &w.Has.Questions[1]
	id := q.ID
	q.Fields = []engine.Field{{Name: "evidence", Kind: engine.FieldFile, Required: true}, {Name: "days", Kind: engine.FieldMany, Choices: []string{"sat", "sun"}}}
	c := client(t, w)
	send := func(pairs ...string) uitest.Page {
		kind, body := parts(t, pairs...)
		return c.Do("POST", "/api/v1/questions/"+id+"/answer", kind, body)
	}
	send("choice", "Block").Want(422, "field.evidence: must be filled in")
	send("choice", "Block", "field.evidence", "words").Want(422, "takes a file, not a text")
	send("choice", "Block", "field.evidence", "@x", "field.evidence", "@y").Want(422, "takes one file")
	send("choice", "Block", "evidence", "@x").Want(400, "belongs to no field")
	send("choice", "Block", "field.evidence", "@x", "field.days", "sun", "field.days", "mon").Want(422, "want any of sat and sun")
	c.Do("POST", "/api/v1/questions/"+id+"/answer", "multipart/form-data; boundary=x", "--y\r\n").Want(400, "not a form with parts")
	send("choice", "Block", "field.evidence", "@"+strings.Repeat("x", 27<<20)).Want(413)
	if got := w.Logged(); got != "" {
		t.Fatalf("something was decided: %s", got)
	}
	send("choice", "Block", "field.evidence", "@hello", "field.days", "sun", "field.days", "sat").Want(200)
	want := `{"days":["sat","sun"],"evidence":{"$":"struct","type":"file","v":{"name":"log.txt","sha256":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824","size":5,"type":"application/octet-stream"}}}`
	if got := w.Logged(); !strings.HasSuffix(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	send("choice", "Block", "field.evidence", "@hello").Want(409, "the question is answered")
	for i := range w.Has.Questions {
		if w.Has.Questions[i].ID == id {
			w.Has.Questions[i].Status = engine.QuestionTimedOut
		}
	}
	c.Do("POST", "/api/v1/questions/"+id+"/answer", "application/json", `{"choice": "Block"}`).Want(410, "the question is timed out", "Nobody needs to answer it any more")
}

func TestWaitingMails(t *testing.T) {
	w := uitest.Sample(t, address)
	c := client(t, w)
	if got := read[list](t, c.Get("/api/v1/mails").Want(200)); len(got.Items) != 0 {
		t.Errorf("got %v, want none", got)
	}
	w.Has.Waiting = []engine.Mail{{Run: "r0-9", To: []string{"dave@example.org"}, Subject: "What now?", Error: "451 greylisted", Tries: 2, Next: uitest.Start().Add(time.Minute)}}
	got := read[list](t, c.Get("/api/v1/mails").Want(200))
	if len(got.Items) != 1 || got.Items[0]["error"] != "451 greylisted" || got.Items[0]["tries"] != 2.0 {
		t.Errorf("got %v", got)
	}
	c.Get("/api/v1/mails?status=open").Want(400)
}
