package state

import "larkspur/engine"

// countFor counts what belongs to an incident: for everybody, and, when only its
// team may see it, for those who may not.
func (t *tx) countFor(i engine.Incident, change func(*engine.Counts)) {
	t.count(change)
	t.hide(i, change)
}

// hide counts what only the team and the owner of an incident may see.
func (t *tx) hide(i engine.Incident, change func(*engine.Counts)) {
	if i.Visible != engine.VisibleToTeam {
		return
	}
	k := hashKey(classHidden, t.shard, i.Team, i.Owner)
	h, _ := get[engine.Hidden](t, k)
	h.Team, h.Owner = i.Team, i.Owner
	change(&h.Counts)
	if h.Counts == (engine.Counts{}) {
		t.Delete(k)
		return
	}
	t.put(k, h)
}

// Hidden returns the part of Counts that only teams may see.
func (s *State) Hidden() (list []engine.Hidden, err error) {
	defer guard(&err)
	view := s.view()
	defer view.Close()
	for shard := range uint16(s.shards) {
		view.Scan(key(classHidden, shard), nil, false, func(k, _ []byte) bool {
			h, _ := get[engine.Hidden](view, append([]byte(nil), k...))
			list = append(list, h)
			return true
		})
	}
	return list, nil
}
