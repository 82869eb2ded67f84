package capture

import "net/netip"

// Fields returns what an event says of the message, by the names of its fields:
// client, client_port, server, server_port, proto, id, response, opcode, query,
// type, class, rcode, flags, answers (each name, type, ttl, data); where there is
// something to say, client_mac, vlans (outermost first), edns (udp_size, version,
// flags, and where they are there client_subnet, client_subnet_scope, errors, each
// code, name, text, and options, each code, name, data) and more_questions (those
// after the first, each name, type, class). Values are of the types string, int64,
// bool, []any and map[string]any. The time stands beside the fields of an event. Without a
// question, query, type and class are empty, and so is an address that is not
// known. Where the answers are malformed, those before that point are there.
func (m *Message) Fields() map[string]any {
	fields := map[string]any{
		"client":      addressText(m.Client),
		"client_port": int64(m.Client.Port()),
		"server":      addressText(m.Server),
		"server_port": int64(m.Server.Port()),
		"proto":       m.Proto.String(),
		"id":          int64(m.ID),
		"response":    m.Response(),
		"opcode":      m.Opcode(),
		"query":       string(m.Name),
		"type":        m.TypeName(),
		"class":       m.ClassName(),
		"rcode":       m.Rcode(),
	}
	flags := []any{}
	for _, name := range m.FlagNames() {
		flags = append(flags, name)
	}
	fields["flags"] = flags
	records, _ := m.Records() // an answer that cannot be read leaves the question's event as it is
	answers := make([]any, 0, len(records))
	for _, r := range records {
		answers = append(answers, map[string]any{"name": r.Name, "type": r.Type, "ttl": int64(r.TTL), "data": r.Data})
	}
	fields["answers"] = answers
	if !m.ClientMAC.IsZero() {
		fields["client_mac"] = m.ClientMAC.String()
	}
	m.moreFields(fields)
	return fields
}

// moreFields adds what few messages have.
func (m *Message) moreFields(fields map[string]any) {
	var vlans, questions []any
	for _, id := range m.VLANs.IDs() {
		vlans = append(vlans, int64(id))
	}
	if vlans != nil {
		fields["vlans"] = vlans
	}
	if e, ok := m.EDNS(); ok {
		fields["edns"] = e.fields()
	}
	for w := m.MoreQuestions(); w.Next(); {
		questions = append(questions, map[string]any{"name": string(w.Name), "type": w.TypeName(), "class": w.ClassName()})
	}
	if questions != nil {
		fields["more_questions"] = questions
	}
}

// addressText returns an address, or "" where a feed does not tell it.
func addressText(a netip.AddrPort) string {
	if !a.Addr().IsValid() {
		return ""
	}
	return a.Addr().String()
}
