package page

import (
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
)

func files(t *testing.T) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	for _, name := range append(names(), shared()...) {
		text, err := templateFiles.ReadFile("templates/" + name + ".html")
		if err != nil {
			t.Fatal(err)
		}
		out["templates/"+name+".html"] = &fstest.MapFile{Data: text}
	}
	return out
}

func TestPagesRefuseToStart(t *testing.T) {
	u := &url.URL{Path: "/"}
	missing := files(t)
	delete(missing, "templates/run.html")
	stray := files(t)
	stray["templates/stray.html"] = &fstest.MapFile{Data: []byte("x")}
	broken := files(t)
	broken["templates/run.html"] = &fstest.MapFile{Data: []byte("{{define")}
	partial := files(t)
	partial["templates/run.html"] = &fstest.MapFile{Data: []byte(`{{define "title"}}x{{end}}`)}
	for _, tt := range []struct {
		files fstest.MapFS
		want  string
	}{
		{missing, `the template of the page "run"`},
		{stray, "templates/stray.html belongs to no page"},
		{broken, "templates/run.html"},
		{partial, `templates/run.html does not define "main"`},
	} {
		if _, err := newPages(Config{URL: u}, tt.files, assetFiles); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want an error that says %q", err, tt.want)
		}
	}
	if _, err := newPages(Config{URL: u}, files(t), assetFiles); err != nil {
		t.Error(err)
	}
	odd := fstest.MapFS{"assets/x.js": &fstest.MapFile{}}
	if _, err := newPages(Config{URL: u}, files(t), odd); err == nil || !strings.Contains(err.Error(), "assets/x.js") {
		t.Errorf("got %v, want an error that names the asset", err)
	}
}
