package appliance

import (
	"errors"

	"larkspur/appliance/config"
	"larkspur/engine/wire"
	"larkspur/scripts"
)

// Hello is what workers are told that carry no runs.
func Hello() wire.Hello {
	return wire.Hello{Engine: Version, Signatures: signatures(), HashKeys: map[string][]byte{"none": make([]byte, 32)}, HashKey: "none"}
}

// Rebuild makes the projections of a workspace's ledger anew and returns the
// number of its records. The appliance must not run meanwhile.
func Rebuild(dir string) (records uint64, err error) {
	settings, problems := config.Load(dir)
	if scripts.HasError(problems) {
		return 0, &Problems{problems}
	}
	a := &Appliance{clock: systemClock, door: &door{}, settings: settings}
	defer func() { err = errors.Join(err, a.Close()) }()
	if err := a.openStores(settings); err != nil {
		return 0, err
	}
	for shard := range a.ledger.Shards() {
		records += a.ledger.Size(uint16(shard))
	}
	return records, a.ledger.Rebuild()
}
