// Package worker is the only parser and evaluator of Starlark: the process that
// package sandbox starts, without network and files. It parses bundles, executes
// their top levels, answers `where` and dedup functions, and executes playbooks:
// steps that the journal knows answer at once, others are asked of the
// supervisor. DESIGN sections 2 and 3.
//
// Begin with Main; Serve does the same on any connection, uncontained, for
// tests. Scripts see the words of LANGUAGE: those that read or change the world
// have signatures from the first message (wire.Hello), those of package pure are
// not recorded, and a few (attempt, change, fail, secret, rule, job, on) live
// here.
package worker
