package desk

import (
	"cmp"
	"slices"
	"time"

	"larkspur/engine"
	"larkspur/ui/login"
)

// ClosedDays is how far back Closed looks.
const ClosedDays = 30

// CodeUntouched is the outcome of incidents that nobody looked at.
const CodeUntouched = "untouched"

// Closed sums up by type how long what was closed lately had been open, the types
// with most first.
func (d *Desk) Closed(who login.Identity) ([]engine.TallyRow, error) {
	now := d.Clock.Now()
	since := now.AddDate(0, 0, 1-ClosedDays).UTC().Truncate(24 * time.Hour)
	rows, err := d.Tallies(who, TallyFilter{By: engine.TallyDays, Since: since, Until: now.Add(time.Hour), Group: "type"})
	if err != nil {
		return nil, err
	}
	sums := map[string]*engine.TallyRow{}
	for _, r := range rows {
		if sums[r.Type] == nil {
			sums[r.Type] = &engine.TallyRow{TallyGroup: engine.TallyGroup{Type: r.Type}}
		}
		sums[r.Type].Add(r.Tally)
	}
	var list []engine.TallyRow
	for _, r := range sums {
		if r.Closed > 0 {
			list = append(list, *r)
		}
	}
	slices.SortFunc(list, func(a, b engine.TallyRow) int {
		return cmp.Or(cmp.Compare(b.Closed, a.Closed), cmp.Compare(a.Type, b.Type))
	})
	return list, nil
}
