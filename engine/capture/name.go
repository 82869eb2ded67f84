package capture

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

const (
	// maxName is the longest name in wire format (RFC 1035 §2.3.4).
	maxName = 255
	// maxPointers bounds the compression pointers of one name. They must point
	// backwards, so a name cannot loop; this bounds the work.
	maxPointers = 127
)

var (
	errCut  = errors.New("the message ends too early")
	errName = errors.New("malformed name")
)

// appendName appends the name at msg[off:] in presentation form to dst: in lower
// case, without the trailing dot, the root as ".". Bytes that do not print, and
// dots, backslashes and spaces within labels, are written \DDD. end is the offset
// after the name. Compression pointers (RFC 1035 §4.1.4) must point before the
// part of the name that they end.
func appendName(dst, msg []byte, off int) (name []byte, end int, err error) {
	start, pointers, length, limit := len(dst), 0, 1, off
	for {
		if off >= len(msg) {
			return dst, 0, errCut
		}
		n := int(msg[off])
		off++
		switch {
		case n == 0:
			if pointers == 0 {
				end = off
			}
			if len(dst) == start {
				dst = append(dst, '.')
			}
			return dst, end, nil
		case n < 64:
			if off+n > len(msg) {
				return dst, 0, errCut
			}
			if length += 1 + n; length > maxName {
				return dst, 0, errName
			}
			if len(dst) > start {
				dst = append(dst, '.')
			}
			dst = appendLabel(dst, msg[off:off+n])
			off += n
		case n >= 0xc0:
			if off >= len(msg) {
				return dst, 0, errCut
			}
			target := (n&0x3f)<<8 | int(msg[off])
			if pointers == 0 {
				end = off + 1
			}
			if pointers++; target >= limit || pointers > maxPointers {
				return dst, 0, errName
			}
			off, limit = target, target
		default: // the extended labels of RFC 2671 were withdrawn
			return dst, 0, errName
		}
	}
}

// The bytes that words hold eight times, for tests of eight bytes at once.
const (
	everyByte = 0x0101010101010101
	topBits   = 0x80 * everyByte
	// nameRoom is what a name and the rest of its last word need.
	nameRoom = maxName + 8
)

// plainName is appendName for an empty dst and what almost all names are: whole, and
// of bytes that stand for themselves. It goes eight bytes at a time. It is false for
// others, and for those that are malformed.
func plainName(dst, msg []byte, off int) (name []byte, end int, plain bool) {
	at, odd := off, 0
	for at < len(msg) && msg[at] != 0 {
		size := msg[at]
		if size >= 64 {
			return dst, 0, false
		}
		if size <= ' ' || size == '.' {
			odd++
		}
		at += 1 + int(size)
	}
	length := at - off - 1
	if at >= len(msg) || length <= 0 || length > maxName-2 {
		return dst, 0, false
	}
	if cap(dst) < nameRoom {
		dst = make([]byte, 0, nameRoom)
	}
	if msg[off] <= ' ' || msg[off] == '.' {
		odd-- // stands before the name
	}
	dst = dst[:length]
	// The lengths of labels may look odd themselves; nothing else may.
	if lowerWords(dst[:length+8], msg, off+1, length) != odd {
		return dst[:0], 0, false
	}
	for i := off + 1 + int(msg[off]); i < at; i += 1 + int(msg[i]) {
		dst[i-off-1] = '.'
	}
	return dst, at + 1, true
}

// lowerWords writes n bytes of msg in lower case to dst, which has room for a word
// more, and returns how many of them do not stand for themselves in a name.
func lowerWords(dst, msg []byte, off, n int) (odd int) {
	for i := 0; i < n; i += 8 {
		v := word(msg, off+i)
		if left := n - i; left < 8 { // what comes behind counts as letters
			behind := ^uint64(0) << (8 * left)
			v = v&^behind | 'a'*everyByte&behind
		}
		low := v &^ topBits
		special := v | (low + everyByte) | ^(low + 0x5f*everyByte) |
			^((low ^ '\\'*everyByte) + 0x7f*everyByte) | ^((low ^ '.'*everyByte) + 0x7f*everyByte)
		odd += bits.OnesCount64(special & topBits)
		capitals := (low + 0x3f*everyByte) &^ (low + 0x25*everyByte) & topBits
		binary.LittleEndian.PutUint64(dst[i:], v|capitals>>2)
	}
	return odd
}

// word returns eight bytes, of which those beyond the end are zero. There must be
// eight in all.
func word(msg []byte, at int) uint64 {
	if at+8 <= len(msg) {
		return binary.LittleEndian.Uint64(msg[at:])
	}
	return binary.LittleEndian.Uint64(msg[len(msg)-8:]) >> (8 * (at + 8 - len(msg)))
}

// skipName returns the offset after the name at msg[off:], without following
// pointers.
func skipName(msg []byte, off int) (end int, err error) {
	for off < len(msg) {
		n := int(msg[off])
		switch {
		case n == 0:
			return off + 1, nil
		case n < 64:
			off += 1 + n
		case n >= 0xc0:
			if off+2 > len(msg) {
				return 0, errCut
			}
			return off + 2, nil
		default:
			return 0, errName
		}
	}
	return 0, errCut
}

// plain maps a byte of a label to how it is written; 0 means \DDD.
var plain = func() (table [256]byte) {
	for b := byte('!'); b <= '~'; b++ {
		table[b] = b
	}
	for b := byte('A'); b <= 'Z'; b++ {
		table[b] = b + 'a' - 'A'
	}
	table['.'], table['\\'] = 0, 0
	return table
}()

func appendLabel(dst, label []byte) []byte {
	for _, b := range label {
		if p := plain[b]; p != 0 {
			dst = append(dst, p)
			continue
		}
		dst = append(dst, '\\', '0'+b/100, '0'+b/10%10, '0'+b%10)
	}
	return dst
}
