// Package state turns the ledger's records into what people and runs ask for:
// incidents, runs, steps, questions, changes, timers. Projector writes these
// keys in the transaction of their record; State reads them.
package state

import (
	"crypto/sha256"
	"encoding/binary"

	"larkspur/engine"
)

// The key table. Every key begins with a class and, in two bytes, the shard;
// numbers are eight bytes, big endian. Classes below 0x20 are the ledger's own.
// All of these are deleted and made anew by a rebuild.
const (
	classPosition   = 'p' // shard → next record, epoch
	classEngine     = 'g' // shard → version of Larkspur that opened the epoch
	classCounter    = 'm' // shard, letter → last number given to an id
	classCounts     = 'a' // shard → engine.Counts
	classOffer      = 'o' // shard, hash of an offered id → record, time
	classOfferTime  = 'O' // shard, time, hash → nothing; finds offers to forget
	classOfferFrom  = 'f' // shard → time before which no offer is remembered
	classEvent      = 'e' // shard, event → record
	classInbox      = 'E' // shard, event → nothing, while it is not routed
	classIncident   = 'i' // shard, incident → engine.Incident
	classOpen       = 'I' // shard, incident → nothing, while it is open
	classDedup      = 'd' // shard, hash of rule and key, or of type and dedup values → incident
	classBusy       = 'U' // shard, hash of an owner → how many open incidents they have
	classTimeline   = 'n' // shard, incident, record → nothing
	classOpenings   = 'h' // shard, hash of rule → times of its last openings (throttle)
	classRun        = 'r' // shard, run → engine.Run
	classReady      = 'R' // shard, run → nothing, while a worker should carry it
	classRunOf      = 'j' // shard, incident, run → nothing
	classStep       = 's' // shard, run, generation, path, number → records, status
	classQuestion   = 'q' // shard, question → engine.Question
	classAsked      = 'Q' // shard, question → nothing, while it is open
	classQuestionOf = 'w' // shard, incident, question → nothing
	classToken      = 'k' // shard, SHA-256 of a token → engine link
	classTimer      = 't' // shard, timer → engine.Timer
	classDue        = 'T' // shard, due time, timer → nothing
	classDueFrom    = 'D' // shard → time before which no timer is due
	classTimerOf    = 'z' // shard, hash of target and step → timer
	classChange     = 'c' // shard, change → engine.Change
	classInForce    = 'C' // shard, change → nothing, while it is in force
	classChangeOf   = 'v' // shard, incident, change → nothing
	classMade       = 'M' // shard, run without an incident, change → nothing
	classJob        = 'J' // shard, hash of job → its last firing and run
	classRule       = 'u' // shard, rule → hits, time of the last
	classBundle     = 'b' // shard, bundle → engine commit and time of activation
	classCursor     = 'x' // shard, source → cursor
	classTerm       = 'F' // shard, class, filter, value, 0, number → nothing; what lists are filtered by
	classWord       = 'W' // shard, word, 0, incident → where it stands; what search finds
	classHit        = 'H' // shard, hash of rule, record → nothing; what a rule matched
	classTally      = 'S' // shard, h s d t or m, span, rule 0 type 0 severity 0 team → engine.Tally
	classTallyFrom  = 'Y' // shard, h s d or m → span before which no tally is kept
	classHidden     = 'y' // shard, hash of team and owner → engine.Hidden
	classAttached   = 'l' // shard, incident → its last run of on_attach
	classAfter      = 'L' // shard, run → the run that begins when it has ended
	classKept       = 'K' // shard, hash of key → what state.set keeps
	classEvidence   = '1' // shard, incident, a or i, hash → engine.Attachment or engine.Indicator
	classMetric     = '2' // shard, n → number of series; s, hash of name and labels → engine.Series; f or h, hash, span → engine.Point
	classErasure    = 'X' // shard, its first record → erasureEntry
	classErasureOf  = 'Z' // shard, hash of an erasure's id → its first record
	classBrake      = 'B' // shard → engine.Brake
	classAwait      = 'A' // shard, incident, run, step → what an i.wait waits for
	classClock      = 'N' // shard → engine.ClockHold
	classLock       = 'G' // shard, hash of name → a lock that is held
	classLockQueue  = '0' // shard, hash of name, record → who waits for it
	classHeld       = 'V' // shard, run, step → a lock that the step got
	classExpect     = '3' // shard, run, step → what an expect expects
	classExpecting  = '4' // shard, run, step → nothing, while it is active
	classButton     = ':' // shard, button → engine.Button
	classButtonOf   = ';' // shard, incident, button → nothing
	classDeadline   = '8' // shard, i or q, incident or question, id → engine.Deadline
	classCounting   = '9' // shard, w or h, id of a deadline that runs → nothing
	classDevice     = '6' // shard, device → deviceEntry
	classSignIn     = '7' // shard, s, hash of a token → engine.SignIn; x, end, hash → nothing; k, hash of a device's token → its number
	classMail       = '5' // shard, run → engine.Mail, while it waits for the mail server
	classPace       = 'P' // shard, hash of rule → times of its last effects, and who is asked (max_changes)
)

var classes = []byte{
	classPosition, classEngine, classCounter, classCounts, classOffer, classOfferTime, classOfferFrom, classEvent, classInbox,
	classIncident, classOpen, classDedup, classBusy, classTimeline, classOpenings, classRun, classReady, classRunOf,
	classStep, classQuestion, classAsked, classQuestionOf, classToken, classTimer, classDue, classDueFrom, classTimerOf,
	classChange, classInForce, classChangeOf, classMade, classJob, classRule, classBundle, classCursor, classTerm, classWord, classHit,
	classTally, classTallyFrom, classHidden,
	classAttached, classAfter, classKept, classErasure, classErasureOf, classBrake, classPace, classAwait, classClock,
	classLock, classLockQueue, classHeld,
	classMetric, classEvidence,
	classExpect, classExpecting,
	classMail,
	classButton, classButtonOf,
	classDeadline, classCounting,
	classDevice, classSignIn,
}

func key(class byte, shard uint16) []byte {
	return append(make([]byte, 0, 40), class, byte(shard>>8), byte(shard))
}

// nounKey is the key of a noun, or of an index entry of one.
func nounKey(class byte, shard uint16, number uint64) []byte {
	return binary.BigEndian.AppendUint64(key(class, shard), number)
}

// pairKey is the key of an index entry of a noun's parts.
func pairKey(class byte, shard uint16, number, part uint64) []byte {
	return binary.BigEndian.AppendUint64(nounKey(class, shard, number), part)
}

// hashKey is a key by the hash of names.
func hashKey(class byte, shard uint16, names ...string) []byte {
	h := sha256.New()
	for _, n := range names {
		h.Write(binary.AppendUvarint(nil, uint64(len(n))))
		h.Write([]byte(n))
	}
	return append(key(class, shard), h.Sum(nil)[:16]...)
}

// idKey is the key of the noun that an id names.
func idKey(class, letter byte, id string) ([]byte, bool) {
	shard, number, ok := engine.ParseID(letter, id)
	return nounKey(class, shard, number), ok
}

// stepKey orders the steps of a run by generation, path and number.
func stepKey(run string, generation int, path string, number int) []byte {
	k := stepPrefix(run, generation)
	k = append(append(k, path...), 0)
	return binary.BigEndian.AppendUint32(k, uint32(number))
}

func stepPrefix(run string, generation int) []byte {
	shard, n, _ := engine.ParseID('r', run)
	return binary.BigEndian.AppendUint32(nounKey(classStep, shard, n), uint32(generation))
}
