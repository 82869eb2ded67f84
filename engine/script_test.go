package engine

import (
	"reflect"
	"testing"
)

func TestEmptyResult(t *testing.T) {
	for result, want := range map[string][]string{
		"mac, name, last_seen; or None":                 {"mac", "name", "last_seen"},
		"status, headers, body, json(), url":            {"status", "headers", "body", "url"},
		"id (the Message-ID), to (a list of addresses)": {"id", "to"},
		"a list of clients as in unifi.client":          nil,
		"":                                              nil,
	} {
		s := Signature{Result: result, Type: "x"}
		if got := s.Attributes(); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %q, want %q", result, got, want)
		}
		empty, isStruct := s.EmptyResult().(Struct)
		if isStruct != (want != nil) || len(empty.Fields) != len(want) {
			t.Errorf("%q: got %v", result, empty)
		}
	}
}
