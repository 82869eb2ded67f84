// Package scripts turns a workspace's files into the bundle that runs: it reads
// them, has a worker parse them and execute their top levels, compiles the rules
// that they declare, and watches for changes.
//
// Begin with a Loader; `check` calls its Load, the appliance runs a Watcher
// around it. A workspace is taken whole or not at all: a broken file is shown
// and changes nothing. The Starlark itself is parsed in the worker alone.
package scripts
