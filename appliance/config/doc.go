// Package config reads larkspur.yaml and box.yaml, LANGUAGE section 6, and the
// secrets beside them.
//
// Load returns a whole Config and all problems at once, each with its line and
// column; an unknown key is an error that names the nearest known one. Check
// does the same for a whole workspace, scripts and rules included. Sections that
// this version does not use yet are read as strictly and give a warning.
package config
