package calendar

import (
	"time"
	_ "time/tzdata" // the box may have no zone files

	"larkspur/engine"
)

// Zone returns the time zone of an IANA name, such as "Europe/London". Zones are
// part of the program. Errors are of kind invalid.
func Zone(name string) (*time.Location, error) {
	if name == "" || name == "Local" { // both would mean the machine's own
		return nil, badZone(name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, badZone(name)
	}
	return zone, nil
}

func badZone(name string) error {
	return engine.Errorf(engine.Invalid, "time zone: got %.80q, want a name of the IANA database", name).
		WithHint("write it as in \"Europe/London\" or \"UTC\"")
}
