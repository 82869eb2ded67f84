// Package record holds the formats that must not drift: the header of a record,
// the frame that carries records, and the payload of each kind. See DESIGN
// section 4, "Formats that must not drift".
package record

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"larkspur/engine"
)

// Version is the format version of headers and frames.
const Version = 1

// LedgerID names one ledger for ever: 16 random bytes, made with it.
type LedgerID [16]byte

// String returns the id in hex.
func (id LedgerID) String() string { return hex.EncodeToString(id[:]) }

// Header is what the proof covers of a record besides its payload and outcome.
type Header struct {
	Ledger      LedgerID
	Incarnation uint32
	Shard       uint16
	Epoch       uint64
	Frame       uint64
	Record      uint64
	Kind        Kind
	Time        time.Time // UTC, nanoseconds
}

// HeaderBytes is the fixed length of an encoded header.
const HeaderBytes = 1 + 16 + 4 + 2 + 8 + 8 + 8 + 2 + 8

// Append appends the encoded header: all integers big endian.
func (h *Header) Append(b []byte) []byte {
	b = append(b, Version)
	b = append(b, h.Ledger[:]...)
	b = binary.BigEndian.AppendUint32(b, h.Incarnation)
	b = binary.BigEndian.AppendUint16(b, h.Shard)
	b = binary.BigEndian.AppendUint64(b, h.Epoch)
	b = binary.BigEndian.AppendUint64(b, h.Frame)
	b = binary.BigEndian.AppendUint64(b, h.Record)
	b = binary.BigEndian.AppendUint16(b, uint16(h.Kind))
	return binary.BigEndian.AppendUint64(b, uint64(h.Time.UnixNano()))
}

// ParseHeader reads an encoded header of exactly HeaderBytes.
func ParseHeader(b []byte) (Header, error) {
	if len(b) != HeaderBytes {
		return Header{}, engine.Errorf(engine.Invalid, "record header: got %d bytes, want %d", len(b), HeaderBytes)
	}
	if b[0] != Version {
		return Header{}, engine.Errorf(engine.Invalid, "record header: got version %d, want %d", b[0], Version)
	}
	h := Header{
		Ledger:      LedgerID(b[1:17]),
		Incarnation: binary.BigEndian.Uint32(b[17:]),
		Shard:       binary.BigEndian.Uint16(b[21:]),
		Epoch:       binary.BigEndian.Uint64(b[23:]),
		Frame:       binary.BigEndian.Uint64(b[31:]),
		Record:      binary.BigEndian.Uint64(b[39:]),
		Kind:        Kind(binary.BigEndian.Uint16(b[47:])),
		Time:        time.Unix(0, int64(binary.BigEndian.Uint64(b[49:]))).UTC(),
	}
	return h, nil
}

// Frame is the unit of atomicity: what one Append wrote. It carries what is
// common to its records; payloads and salts lie beside it under their own keys.
type Frame struct {
	Ledger      LedgerID
	Incarnation uint32
	Shard       uint16
	Epoch       uint64
	Number      uint64
	First       uint64 // number of its first record
	Node        string // which machine wrote it, at most 255 bytes
	Entries     []Entry
}

// Entry is one record of a frame, without its payload.
type Entry struct {
	Kind    Kind
	Time    time.Time
	Outcome []byte // canonical JSON, what became of the record
}

// MaxEntries bounds the records of one frame.
const MaxEntries = 4096

// Header returns the header of the i-th record.
func (f *Frame) Header(i int) Header {
	e := f.Entries[i]
	return Header{
		Ledger: f.Ledger, Incarnation: f.Incarnation, Shard: f.Shard, Epoch: f.Epoch,
		Frame: f.Number, Record: f.First + uint64(i), Kind: e.Kind, Time: e.Time,
	}
}

// Append appends the encoded frame.
func (f *Frame) Append(b []byte) []byte {
	b = append(b, Version)
	b = append(b, f.Ledger[:]...)
	b = binary.BigEndian.AppendUint32(b, f.Incarnation)
	b = binary.BigEndian.AppendUint16(b, f.Shard)
	b = binary.BigEndian.AppendUint64(b, f.Epoch)
	b = binary.BigEndian.AppendUint64(b, f.Number)
	b = binary.BigEndian.AppendUint64(b, f.First)
	node := f.Node[:min(len(f.Node), 255)]
	b = append(append(b, byte(len(node))), node...)
	b = binary.AppendUvarint(b, uint64(len(f.Entries)))
	for _, e := range f.Entries {
		b = binary.BigEndian.AppendUint16(b, uint16(e.Kind))
		b = binary.BigEndian.AppendUint64(b, uint64(e.Time.UnixNano()))
		b = binary.AppendUvarint(b, uint64(len(e.Outcome)))
		b = append(b, e.Outcome...)
	}
	return b
}

const framePrefixBytes = 1 + 16 + 4 + 2 + 8 + 8 + 8

// ParseFrame reads an encoded frame. The entries' outcomes are copies.
func ParseFrame(b []byte) (Frame, error) {
	if len(b) < framePrefixBytes+1 || b[0] != Version {
		return Frame{}, engine.Errorf(engine.Invalid, "frame: got %d bytes that do not begin with version %d", len(b), Version)
	}
	f := Frame{
		Ledger:      LedgerID(b[1:17]),
		Incarnation: binary.BigEndian.Uint32(b[17:]),
		Shard:       binary.BigEndian.Uint16(b[21:]),
		Epoch:       binary.BigEndian.Uint64(b[23:]),
		Number:      binary.BigEndian.Uint64(b[31:]),
		First:       binary.BigEndian.Uint64(b[39:]),
	}
	b = b[framePrefixBytes:]
	n := int(b[0])
	if len(b) < 1+n {
		return Frame{}, errFrameShort
	}
	f.Node = string(b[1 : 1+n])
	count, used := binary.Uvarint(b[1+n:])
	if used <= 0 || count > MaxEntries {
		return Frame{}, errFrameShort
	}
	b = b[1+n+used:]
	f.Entries = make([]Entry, count)
	for i := range f.Entries {
		var err error
		if f.Entries[i], b, err = parseEntry(b); err != nil {
			return Frame{}, err
		}
	}
	if len(b) != 0 {
		return Frame{}, engine.Errorf(engine.Invalid, "frame: %d bytes after the last entry", len(b))
	}
	return f, nil
}

var errFrameShort = engine.Errorf(engine.Invalid, "frame: ends in the middle")

func parseEntry(b []byte) (Entry, []byte, error) {
	if len(b) < 11 {
		return Entry{}, nil, errFrameShort
	}
	e := Entry{
		Kind: Kind(binary.BigEndian.Uint16(b)),
		Time: time.Unix(0, int64(binary.BigEndian.Uint64(b[2:]))).UTC(),
	}
	n, used := binary.Uvarint(b[10:])
	if used <= 0 || n > uint64(len(b)-10-used) {
		return Entry{}, nil, errFrameShort
	}
	end := 10 + used + int(n)
	e.Outcome = append([]byte(nil), b[10+used:end]...)
	return e, b[end:], nil
}

// Kind is what a record is about. Numbers are for ever: never reused, never
// renumbered.
type Kind uint16

// The kinds.
const (
	EpochOpenedKind     Kind = 1
	BundleActivatedKind Kind = 2
	LoggedInKind        Kind = 3
	LoggedOutKind       Kind = 4
	ExportedKind        Kind = 5
	ErasedKind          Kind = 6
	KeyRotatedKind      Kind = 7
	RebuiltKind         Kind = 8

	EventSeenKind    Kind = 10
	EventMatchedKind Kind = 11
	EventRoutedKind  Kind = 12
	JobFiredKind     Kind = 13
	// JobStartedKind is a person's wish that a job runs now.
	JobStartedKind Kind = 14

	StepStartedKind Kind = 20
	StepDoneKind    Kind = 21
	RunParkedKind   Kind = 22
	RunEndedKind    Kind = 23
	WorkerDiedKind  Kind = 24
	StepDoubtedKind Kind = 25
	// StepResolvedKind is what a person says of a step in doubt.
	StepResolvedKind Kind = 26
	RunRestartedKind Kind = 27

	QuestionAnsweredKind Kind = 30
	ButtonPressedKind    Kind = 34

	TimerFiredKind Kind = 40

	UndoRequestedKind Kind = 50

	IncidentChangedKind Kind = 60
	IncidentOpenedKind  Kind = 61
	// DeadlineSetKind begins, pauses, moves or ends a deadline.
	DeadlineSetKind      Kind = 62
	DeadlineBreachedKind Kind = 63

	StateSetKind      Kind = 70
	LockChangedKind   Kind = 71
	MetricSetKind     Kind = 72
	ExpectSetKind     Kind = 73
	EventExpectedKind Kind = 74

	BrakeSetKind  Kind = 80
	ClockHeldKind Kind = 81

	DevicePairedKind  Kind = 90
	DeviceRevokedKind Kind = 91
	SignInOfferedKind Kind = 92
)

var kindNames = map[Kind]string{
	EpochOpenedKind: "epoch_opened", BundleActivatedKind: "bundle_activated",
	LoggedInKind: "logged_in", LoggedOutKind: "logged_out", ExportedKind: "exported", KeyRotatedKind: "key_rotated", RebuiltKind: "rebuilt", ErasedKind: "erased",
	EventSeenKind: "event_seen", EventMatchedKind: "event_matched", EventRoutedKind: "event_routed", JobFiredKind: "job_fired", JobStartedKind: "job_started",
	StepStartedKind: "step_started", StepDoneKind: "step_done", RunParkedKind: "run_parked",
	RunEndedKind: "run_ended", WorkerDiedKind: "worker_died", StepDoubtedKind: "step_doubted", StepResolvedKind: "step_resolved", RunRestartedKind: "run_restarted",
	QuestionAnsweredKind: "question_answered",
	ButtonPressedKind:    "button_pressed",
	TimerFiredKind:       "timer_fired", UndoRequestedKind: "undo_requested", IncidentChangedKind: "incident_changed", IncidentOpenedKind: "incident_opened",
	StateSetKind: "state_set", BrakeSetKind: "brake_set", ClockHeldKind: "clock_held", LockChangedKind: "lock_changed",
	MetricSetKind:   "metric_set",
	DeadlineSetKind: "deadline_set", DeadlineBreachedKind: "deadline_breached",
	ExpectSetKind: "expect_set", EventExpectedKind: "event_expected",
	DevicePairedKind: "device_paired", DeviceRevokedKind: "device_revoked", SignInOfferedKind: "sign_in_offered",
}

// String returns the kind's name as pages and exports write it.
func (k Kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return fmt.Sprintf("kind_%d", uint16(k))
}

// Kinds returns all kinds, for tests that must meet each.
func Kinds() []Kind {
	all := make([]Kind, 0, len(kindNames))
	for k := range kindNames {
		all = append(all, k)
	}
	return all
}
