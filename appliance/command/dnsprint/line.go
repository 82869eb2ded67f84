package dnsprint

import (
	"strconv"
	"unicode/utf8"

	"larkspur/engine/capture"
)

// timeLayout is RFC 3339 with nine decimals; the times are in UTC.
const timeLayout = "2006-01-02T15:04:05.000000000Z07:00"

// appendLine appends the JSON object of a message and a line feed to b. The keys
// have the order of the contract with those who read the lines.
func appendLine(b []byte, m *capture.Message, records []capture.Record) []byte {
	b = append(b, `{"time": "`...)
	b = m.Time.UTC().AppendFormat(b, timeLayout)
	b = append(b, `", "client": "`...)
	b = m.Client.Addr().AppendTo(b)
	b = append(b, `", "client_port": `...)
	b = strconv.AppendUint(b, uint64(m.Client.Port()), 10)
	b = append(b, `, "server": "`...)
	b = m.Server.Addr().AppendTo(b)
	b = append(b, `", "server_port": `...)
	b = strconv.AppendUint(b, uint64(m.Server.Port()), 10)
	b = appendKey(b, "proto", m.Proto.String())
	b = append(b, `, "id": `...)
	b = strconv.AppendUint(b, uint64(m.ID), 10)
	b = append(b, `, "response": `...)
	b = strconv.AppendBool(b, m.Response())
	b = appendKey(b, "opcode", m.Opcode())
	b = appendKey(b, "query", m.Name)
	b = appendKey(b, "type", m.TypeName())
	b = appendKey(b, "class", m.ClassName())
	b = appendKey(b, "rcode", m.Rcode())
	b = appendFlags(b, m.FlagNames())
	b = appendAnswers(b, records)
	if !m.ClientMAC.IsZero() {
		b = appendKey(b, "client_mac", m.ClientMAC.String())
	}
	return append(b, '}', '\n')
}

func appendKey[T string | []byte](b []byte, key string, value T) []byte {
	b = append(b, `, "`...)
	b = append(b, key...)
	b = append(b, `": `...)
	return appendString(b, value)
}

func appendFlags(b []byte, flags []string) []byte {
	b = append(b, `, "flags": [`...)
	for i, flag := range flags {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = appendString(b, flag)
	}
	return append(b, ']')
}

func appendAnswers(b []byte, records []capture.Record) []byte {
	b = append(b, `, "answers": [`...)
	for i, r := range records {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(b, `{"name": `...)
		b = appendString(b, r.Name)
		b = appendKey(b, "type", r.Type)
		b = append(b, `, "ttl": `...)
		b = strconv.AppendUint(b, uint64(r.TTL), 10)
		b = appendKey(b, "data", r.Data)
		b = append(b, '}')
	}
	return append(b, ']')
}

const hexDigits = "0123456789abcdef"

// appendString appends a JSON string. What is not UTF-8 becomes U+FFFD.
func appendString[T string | []byte](b []byte, s T) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			b = utf8.AppendRune(b, r)
			i += size - 1
		}
	}
	return append(b, '"')
}
