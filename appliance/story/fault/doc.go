// Package fault holds no code of the product: its tests kill a process that
// carries real playbooks, again and again, and hold what its ledger says to what
// a peer saw that outlives the kills.
//
// `go test` runs a short form, `make fault` the long one. docs/RELIABILITY.md
// says what is simulated, what is not, and what was seen.
package fault
