package capture

import (
	"strconv"

	"github.com/miekg/dns"
)

// recordHeaderSize is what follows the name of a record: type, class, time to
// live and length of the data.
const recordHeaderSize = 10

// Record is one answer of a message.
type Record struct {
	Name string // written as Message.Name is
	Type string // as Message.TypeName
	TTL  uint32 // seconds
	// Data is in presentation form (RFC 1035 §5.1), and in the generic form of
	// RFC 3597 §5 where it cannot be read by the rules of its type. Names in it
	// are in lower case and without the trailing dot; data that is nothing but a
	// name is written as Message.Name is.
	Data string
}

// Records decodes the answer section. Where it is malformed, the records before
// that point are returned beside an error. Answers is the same without memory of
// its own.
func (m *Message) Records() ([]Record, error) {
	var records []Record
	var room []byte
	w := m.Answers()
	for w.Next() {
		name := w.AppendName(room[:0])
		room = w.AppendData(name)
		records = append(records, Record{Name: string(name), Type: typeName(w.Type), TTL: w.TTL, Data: string(room[len(name):])})
	}
	return records, w.Err()
}

// Rcode returns the response code, as in "NXDOMAIN" or "RCODE24". The upper bits
// come from the OPT record (RFC 6891 §6.1.3) where it can be found.
func (m *Message) Rcode() string { return rcodeName(m.ResponseCode()) }

// rcodeName names a response code with its upper bits.
func rcodeName(code uint16) string {
	switch code {
	case dns.RcodeSuccess:
		return "NOERROR"
	case dns.RcodeBadVers:
		return "BADVERS" // its other name, BADSIG, is one of TSIG
	}
	if name, ok := dns.RcodeToString[int(code)]; ok {
		return name
	}
	return "RCODE" + strconv.Itoa(int(code))
}
