package state

import (
	"encoding/binary"
	"fmt"

	"larkspur/engine"
)

// Describe names an entry of the projections by its key, for people.
func Describe(key []byte) string {
	nouns := map[byte]string{
		classEvent: "event", classIncident: "incident", classRun: "run", classQuestion: "question", classChange: "change", classTimer: "timer",
	}
	if len(key) == 0 {
		return "an entry without a key"
	}
	if noun, ok := nouns[key[0]]; ok && len(key) == 11 {
		return noun + " " + engine.FormatID(key[0], binary.BigEndian.Uint16(key[1:]), binary.BigEndian.Uint64(key[3:]))
	}
	others := map[byte]string{
		classStep: "a step", classTimeline: "a timeline", classTally: "counters", classCounts: "counters", classWord: "the search", classTerm: "a list's filter",
		classOffer: "the memory of what was offered", classDedup: "the memory of duplicates", classRule: "a rule's counters", classErasure: "an erasure",
	}
	if what, ok := others[key[0]]; ok {
		return what
	}
	return fmt.Sprintf("an index (%q)", key[0])
}
