// Package fault holds no code of the product: its tests kill a process that
// appends to a ledger, again and again, tear what was not yet synced, move its
// clock, and hold what is on the disk to what the process had told its callers.
//
// `go test` runs a short form, `make fault` the long one. docs/RELIABILITY.md
// says what is simulated, what is not, and what was seen.
package fault
