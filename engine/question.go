package engine

import (
	"maps"
	"slices"
	"strings"
)

// Kinds of fields, LANGUAGE section 2.
const (
	FieldText     = "text"
	FieldChoice   = "choice"
	FieldMany     = "many"
	FieldNumber   = "number"
	FieldDate     = "date"
	FieldDuration = "duration"
	FieldDomain   = "domain"
	FieldAddress  = "address" // an IP address
	FieldFile     = "file"
)

// MaxUploadBytes bounds the files of one answer together.
const MaxUploadBytes = 25 << 20

// Reply is what a person gives to a question, before it is checked.
type Reply struct {
	Choice, Reason string
	// Fields by name, as texts; several only for the kind "many".
	Fields map[string][]string
	// Files by name of their field.
	Files map[string][]Upload
	// By is who answers: a key of people, or an address alone.
	By  Addressee
	How string // link, page, api, command
	// Proof is what proves who answers, Device the paired browser that it comes from.
	Proof, Device string
}

// Upload is a file that a person hands in.
type Upload struct {
	Name, Type string
	Content    []byte
}

// Problems are a person's mistakes by the name of the input: "choice", "reason",
// "typed", "field.NAME" and others. As an error they are of kind invalid.
type Problems map[string]string

// Error joins the problems, for those who see them at no input.
func (p Problems) Error() string {
	lines := make([]string, 0, len(p))
	for _, name := range slices.Sorted(maps.Keys(p)) {
		lines = append(lines, name+": "+p[name])
	}
	return strings.Join(lines, "; ")
}

// As makes an Error of them, for errors.As.
func (p Problems) As(target any) bool {
	e, ok := target.(**Error)
	if ok {
		*e = Errorf(Invalid, "%s", p.Error())
	}
	return ok
}

// Same reports whether two addressees are one person: by name, or by address
// whatever the case.
func (a Addressee) Same(b Addressee) bool {
	return a.Name != "" && a.Name == b.Name || a.Email != "" && strings.EqualFold(a.Email, b.Email)
}

// String is the name, or the address of who has none.
func (a Addressee) String() string {
	if a.Name == "" {
		return a.Email
	}
	return a.Name
}
