package wire

import "unicode/utf8"

// A worker that holds one call alone writes down where its script is, in a page
// of memory that outlives it: when it dies, the supervisor reads from there which
// line did it. The page holds two places of which one is valid, so that a place
// that was being written when the process died is not read.
const (
	// TraceBytes is the size of the page.
	TraceBytes = 4096
	// TraceVariable in the environment of a worker says that TraceFD is a page.
	TraceVariable = "LARKSPUR_TRACE"
	// TraceFD is the descriptor of the page in the worker.
	TraceFD = 4
)

// Layout of the page: which place is valid (0 none, 1, 2), then the places, each
// a byte of length and the text.
const (
	traceText  = 200
	traceSlot  = 1 + traceText
	traceFirst = 1
)

// PutTrace writes where a script is ("scripts/a.star:3:9"). Too long a text loses
// its beginning. page has TraceBytes bytes.
func PutTrace(page []byte, at string) {
	if len(at) > traceText {
		at = at[len(at)-traceText:]
	}
	next := byte(1)
	if page[0] == 1 {
		next = 2
	}
	slot := page[traceFirst+int(next-1)*traceSlot:]
	slot[0] = byte(len(at))
	copy(slot[1:], at)
	page[0] = next
}

// LastTrace returns what PutTrace wrote last. page is outside data: "" for what
// cannot be.
func LastTrace(page []byte) string {
	if len(page) < traceFirst+2*traceSlot || page[0] < 1 || page[0] > 2 {
		return ""
	}
	slot := page[traceFirst+int(page[0]-1)*traceSlot:]
	n := int(slot[0])
	if n > traceText || !utf8.Valid(slot[1:1+n]) {
		return ""
	}
	return string(slot[1 : 1+n])
}
