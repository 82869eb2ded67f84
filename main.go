// Larkspur is a security-automation appliance in one binary: README.md says what
// it does, docs/ARCHITECTURE.md how it is built.
package main

import (
	"os"

	"larkspur/appliance/command"
)

func main() { os.Exit(command.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
