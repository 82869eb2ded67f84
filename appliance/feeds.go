package appliance

import (
	"larkspur/appliance/config"
	"larkspur/engine/calendar"
	"larkspur/engine/feed"
)

// openLog follows the log of another program.
func (a *Appliance) openLog(entry config.Sensor) (*sensor, error) {
	zone := a.current().Zone
	if entry.Feed.Zone != "" {
		zone, _ = calendar.Zone(entry.Feed.Zone) // the configuration was checked
	}
	log, err := feed.Follow(entry.Feed.File, feed.Format{
		Kind: entry.Kind, Zone: zone, Now: a.clock.Now, Fields: entry.Feed.Fields, Separator: entry.Feed.Separator,
	}, a.cache)
	if err != nil {
		return nil, err
	}
	s := a.newSensor(entry.Name(), log, log)
	s.unit = "lines"
	return s, nil
}

// openDnstap waits for resolvers that send dnstap.
func (a *Appliance) openDnstap(entry config.Sensor) (*sensor, error) {
	l, err := feed.Listen(feed.Socket{
		Address: entry.Feed.Listen, Mode: entry.Feed.Mode, Group: entry.Feed.Group, Messages: entry.Feed.Messages,
	})
	if err != nil {
		return nil, err
	}
	s := a.newSensor(entry.Name(), l, l)
	s.serve = l.Run
	return s, nil
}
