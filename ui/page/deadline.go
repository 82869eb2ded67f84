package page

import (
	"time"

	"larkspur/engine"
	"larkspur/engine/calendar"
	"larkspur/engine/state"
)

// deadlineView is a deadline as an incident's page shows it.
type deadlineView struct{ engine.Deadline }

// What says what has to happen.
func (d deadlineView) What() string {
	if d.Of == engine.DeadlineOfSection {
		return d.Name // as the script calls it
	}
	return label(state.SayDeadline(d.ID))
}

// Within is how long that may take, and in which hours.
func (d deadlineView) Within() string {
	text := "within " + calendar.FormatDuration(d.Limit)
	if d.Hours != "" {
		text += " in the hours of " + d.Hours
	}
	return text
}

// Remains is what is left while it is paused.
func (d deadlineView) Remains() string {
	if d.Status != engine.DeadlinePaused {
		return ""
	}
	return calendar.FormatDuration(d.Left.Round(time.Second))
}
