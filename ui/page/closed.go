package page

import (
	"larkspur/engine"
	"larkspur/engine/calendar"
	"larkspur/ui/desk"
)

// closedView is how long incidents of each type took that were closed lately.
type closedView struct {
	Days   int
	Bounds []string
	Rows   []closedRow
}

type closedRow struct {
	Type      string
	Closed    int64
	Within    []int64 // by bounds, and what took longer
	Untouched int64
}

func closed(rows []engine.TallyRow) closedView {
	v := closedView{Days: desk.ClosedDays}
	for _, bound := range engine.TallyBounds() {
		v.Bounds = append(v.Bounds, calendar.FormatDuration(bound))
	}
	for _, r := range rows {
		within := make([]int64, len(v.Bounds)+1)
		copy(within, r.ClosedWithin)
		v.Rows = append(v.Rows, closedRow{r.Type, r.Closed, within, r.ClosedAs[desk.CodeUntouched]})
	}
	return v
}
