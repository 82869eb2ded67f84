package field

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"unicode"

	"larkspur/engine"
)

// File is a file that somebody handed in, checked. Its content is to be kept as a
// blob before anything names it.
type File struct {
	engine.Attachment
	Content []byte
	field   string
}

// value is what a script reads of it; i.attach and email.send take it as it is.
func (f *File) value() engine.Value {
	return engine.Struct{Type: "file", Fields: map[string]engine.Value{
		"name": f.Name, "type": f.Type, "size": f.Size, "sha256": f.SHA256,
	}}
}

func readFile(f engine.Field, texts []string, files []engine.Upload) (*File, string) {
	switch {
	case len(texts) > 0:
		return nil, "takes a file, not a text"
	case len(files) == 0 && f.Required:
		return nil, "must be filled in"
	case len(files) == 0:
		return nil, ""
	case len(files) > 1:
		return nil, "takes one file"
	}
	up := files[0]
	name := FileName(up.Name)
	switch {
	case name == "":
		return nil, "got " + quoted(up.Name) + ", want a file with a name"
	case len(up.Content) > engine.MaxUploadBytes:
		return nil, "is too large: at most 25 MB"
	}
	one := &File{Content: up.Content, field: f.Name}
	one.Name, one.Type, one.Size = name, MediaType(up.Type), int64(len(up.Content))
	sum := sha256.Sum256(up.Content)
	one.SHA256 = hex.EncodeToString(sum[:])
	return one, ""
}

func tooLarge(files []File) bool {
	total := int64(0)
	for _, f := range files {
		total += f.Size
	}
	return total > engine.MaxUploadBytes
}

// mediaType is RFC 6838 §4.2 without parameters.
var mediaType = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$`)

// MediaType is what somebody says that a file is, application/octet-stream for what
// says nothing.
func MediaType(said string) string {
	if mediaType.MatchString(said) {
		return said
	}
	return "application/octet-stream"
}

// maxFileName bounds the name of a file.
const maxFileName = 200

// FileName is the last part of a name, without what no file system takes; "" of
// one that has none, or too long a one.
func FileName(name string) string {
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, "_"))
	if name = strings.Trim(name, ". "); len(name) > maxFileName {
		return ""
	}
	return name
}
