package capture

import "errors"

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
