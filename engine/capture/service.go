package capture

import (
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"strconv"
)

// The parameters of a service binding (RFC 9460 §14.3.2) that are written here by
// their own rules.
const (
	svcMandatory = iota
	svcALPN
	svcNoDefaultALPN
	svcPort
	svcIPv4Hint
	svcECH
	svcIPv6Hint
	svcDoHPath // RFC 9461
	svcOHTTP   // RFC 9540
)

// svcNames are the names of the parameters.
var svcNames = [...]string{
	svcMandatory: "mandatory", svcALPN: "alpn", svcNoDefaultALPN: "no-default-alpn", svcPort: "port", svcIPv4Hint: "ipv4hint",
	svcECH: "ech", svcIPv6Hint: "ipv6hint", svcDoHPath: "dohpath", svcOHTTP: "ohttp",
}

func appendServiceKey(dst []byte, key uint16) []byte {
	if int(key) < len(svcNames) {
		return append(dst, svcNames[key]...)
	}
	return strconv.AppendUint(append(dst, "key"...), uint64(key), 10)
}

// parameters writes the parameters of a service binding up to the end, each as
// key="value" (RFC 9460 §2.1, appendix A); where there are none, it takes back the
// space before.
func (f *formatter) parameters() bool {
	f.dst = f.dst[:len(f.dst)-1]
	for last := -1; f.off < len(f.msg); {
		head, ok := f.take(4)
		if !ok {
			return false
		}
		key := binary.BigEndian.Uint16(head)
		value, ok := f.take(int(binary.BigEndian.Uint16(head[2:])))
		if !ok || int(key) <= last || key == 0xffff {
			return false
		}
		last = int(key)
		f.dst = append(appendServiceKey(append(f.dst, ' '), key), '=', '"')
		if !f.parameter(key, value) {
			return false
		}
		f.dst = append(f.dst, '"')
	}
	return true
}

// parameter writes the value of a parameter; false means that it breaks its rules.
func (f *formatter) parameter(key uint16, value []byte) bool {
	switch key {
	case svcMandatory:
		return f.each(value, 2, func(v []byte) { f.dst = appendServiceKey(f.dst, binary.BigEndian.Uint16(v)) })
	case svcALPN:
		return f.protocols(value)
	case svcNoDefaultALPN, svcOHTTP:
		return len(value) == 0
	case svcPort:
		if len(value) == 2 {
			f.dst = strconv.AppendUint(f.dst, uint64(binary.BigEndian.Uint16(value)), 10)
		}
		return len(value) == 2
	case svcIPv4Hint:
		return f.each(value, 4, func(v []byte) { f.dst = netip.AddrFrom4([4]byte(v)).AppendTo(f.dst) })
	case svcIPv6Hint:
		return f.each(value, 16, func(v []byte) { f.dst = netip.AddrFrom16([16]byte(v)).AppendTo(f.dst) })
	case svcECH:
		f.dst = base64.StdEncoding.AppendEncode(f.dst, value)
		return true
	}
	for _, b := range value {
		f.dst = appendServiceByte(f.dst, b)
	}
	return true
}

// each writes values of one size, separated by commas; there must be one.
func (f *formatter) each(values []byte, size int, write func([]byte)) bool {
	for at := 0; at+size <= len(values); at += size {
		if at > 0 {
			f.dst = append(f.dst, ',')
		}
		write(values[at : at+size])
	}
	return len(values) > 0 && len(values)%size == 0
}

// protocols writes strings separated by commas, in which commas and backslashes
// are escaped twice (RFC 9460 appendix A.1).
func (f *formatter) protocols(values []byte) bool {
	for first := true; len(values) > 0; first = false {
		n := int(values[0])
		if n == 0 || 1+n > len(values) {
			return false
		}
		if !first {
			f.dst = append(f.dst, ',')
		}
		for _, b := range values[1 : 1+n] {
			if b == ',' || b == '\\' {
				f.dst = append(f.dst, `\\`...)
				f.dst = appendDecimal(f.dst, b)
				continue
			}
			f.dst = appendServiceByte(f.dst, b)
		}
		values = values[1+n:]
	}
	return true
}

func appendServiceByte(dst []byte, b byte) []byte {
	switch {
	case b == '"' || b == ';' || b == ' ' || b == '\\':
		return append(dst, '\\', b)
	case b < ' ' || b > '~':
		return appendDecimal(dst, b)
	}
	return append(dst, b)
}
