// Package bench measures Larkspur beside its peers. It is a module of its own, so
// that what they are made of is no part of Larkspur's; make bench runs it, and
// nothing else builds it.
package bench
