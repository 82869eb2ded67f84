// Package engine holds the nouns of Larkspur: events, incidents, runs, steps,
// questions, changes, timers, bundles and the values that scripts exchange with
// the world. It does no I/O and imports the standard library only; every other
// room may import it.
//
// Nouns are plain data. They are owned by whoever holds them and are not safe
// for concurrent writing; state hands out copies.
package engine
