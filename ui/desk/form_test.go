package desk_test

import (
	"bytes"
	"net/http/httptest"
	"testing"

	"larkspur/engine"
	"larkspur/ui/desk"
)

func FuzzFormInput(f *testing.F) {
	f.Add("multipart/form-data; boundary=b", []byte("--b\r\nContent-Disposition: form-data; name=\"field.x\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b--\r\n"))
	f.Add("application/x-www-form-urlencoded", []byte("choice=Block&field.x=1&field.x=2"))
	f.Add("multipart/form-data; boundary=b", []byte("--b\r\nContent-Disposition: form-data; name=\"choice\"\r\n\r\nBlock\r\n--b\r\n"))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", kind)
		if desk.ParseForm(r) != nil {
			return
		}
		in, err := desk.FormInput(r)
		if err != nil && engine.KindOf(err) != engine.Invalid {
			t.Errorf("got %v, want an error of kind invalid", err)
		}
		total := 0
		for _, files := range in.Files {
			for _, f := range files {
				total += len(f.Content)
			}
		}
		if total > len(body) {
			t.Errorf("got %d bytes of files out of %d", total, len(body))
		}
	})
}
