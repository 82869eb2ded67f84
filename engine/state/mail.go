package state

import (
	"encoding/binary"

	"larkspur/engine"
	"larkspur/engine/record"
)

// The outbox says by a step that a mail was not taken yet, or is not wanted any
// more. What waits stands under a key of its own, until its run is over.

func mailKey(run string) []byte {
	k, _ := idKey(classMail, 'r', run)
	return k
}

// noteMail keeps what a step of the outbox says of its mail.
func (t *tx) noteMail(r engine.Run, m record.Mail) {
	k := mailKey(r.ID)
	before, waited := get[engine.Mail](t, k)
	if m.Unsent != "" {
		r.Unsent = m.Unsent
		t.putRun(r, r.Status)
		return
	}
	since := t.now
	if waited {
		since = before.Since
	}
	t.put(k, engine.Mail{
		Run: r.ID, Incident: r.Incident, Question: r.Question, To: m.To, Subject: m.Subject, Error: m.Error,
		Tries: m.Tries, Since: since, Next: m.Next,
	})
}

// dropMail forgets the mail of a run that is over.
func (t *tx) dropMail(r engine.Run) {
	if r.Purpose != PurposeOutbox || !ended(r.Status) {
		return
	}
	if k := mailKey(r.ID); k != nil {
		if _, waited := t.Get(k); waited {
			t.Delete(k)
		}
	}
}

// WaitingMails lists the mails that wait, of each shard the oldest first.
func (s *State) WaitingMails(cursor string, limit int) (list []engine.Mail, next string, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	first, after, err := parseCursor(cursor, s.shards)
	if err != nil {
		return nil, "", err
	}
	limit = min(max(limit, 1), MaxPage)
	for shard := first; shard >= 0; shard-- {
		prefix := key(classMail, uint16(shard))
		view.Scan(prefix, startAt(prefix, after), false, func(k, _ []byte) bool {
			if len(list) == limit {
				next = formatCursor(shard, binary.BigEndian.Uint64(k[len(prefix):]))
				return false
			}
			if m, ok := get[engine.Mail](view, append([]byte(nil), k...)); ok {
				list = append(list, m)
			}
			return true
		})
		if after = nil; next != "" {
			break
		}
	}
	return list, next, nil
}
