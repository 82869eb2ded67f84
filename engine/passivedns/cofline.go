package passivedns

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxLineBytes bounds a line of an import, maxLineData the records of one.
	maxLineBytes = 256 << 10
	maxLineData  = 1000
)

var errLong = errors.New("the line is too long")

// readLine returns a line without its end; errLong for one that is longer than
// maxLineBytes, which is skipped.
func readLine(in *bufio.Reader) ([]byte, error) {
	text, err := in.ReadSlice('\n')
	if err != bufio.ErrBufferFull {
		return text, err
	}
	for err == bufio.ErrBufferFull {
		_, err = in.ReadSlice('\n')
	}
	if err != nil {
		return nil, err
	}
	return nil, errLong
}

// foreign is a line as others write it, too.
type foreign struct {
	Name      string          `json:"rrname"`
	Type      json.RawMessage `json:"rrtype"`
	Data      json.RawMessage `json:"rdata"`
	First     json.RawMessage `json:"time_first"`
	Last      json.RawMessage `json:"time_last"`
	ZoneFirst json.RawMessage `json:"zone_time_first"`
	ZoneLast  json.RawMessage `json:"zone_time_last"`
	Count     json.RawMessage `json:"count"`
	Rcode     string          `json:"rcode"`
}

// parseLine reads a line. reason is what an error is counted under: json, rrname,
// rrtype, rdata, time or count.
func parseLine(text []byte) (records []recordOf, v value, reason string, err error) {
	var l foreign
	if err := json.Unmarshal(text, &l); err != nil {
		return nil, v, "json", errors.New("no JSON object of the format")
	}
	name, err := normalName(l.Name)
	if err != nil {
		return nil, v, "rrname", fmt.Errorf("rrname: %w", err)
	}
	kind, err := parseType(l.Type)
	if err != nil {
		return nil, v, "rrtype", err
	}
	if v.first, v.last, err = l.times(); err != nil {
		return nil, v, "time", err
	}
	if v.count, err = parseCount(l.Count); err != nil {
		return nil, v, "count", err
	}
	records, err = l.records(name, kind)
	return records, v, "rdata", err
}

func parseType(raw json.RawMessage) (uint16, error) {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		var number uint16
		if json.Unmarshal(raw, &number) == nil && number > 0 {
			return number, nil
		}
		return 0, fmt.Errorf("rrtype: got %.40q, want a type such as A", raw)
	}
	text = strings.ToUpper(text)
	kind, ok := dns.StringToType[text]
	if rest, found := strings.CutPrefix(text, "TYPE"); found && !ok {
		n, err := strconv.ParseUint(rest, 10, 16)
		kind, ok = uint16(n), err == nil
	}
	if !ok || kind == 0 || leftOut(kind) {
		return 0, fmt.Errorf("rrtype: got %.40q, want a type of records such as A", text)
	}
	return kind, nil
}

// times are time_first and time_last; or, in what DNSDB has of zone files, those of
// the zone.
func (l *foreign) times() (first, last uint32, err error) {
	from, to := l.First, l.Last
	if len(from) == 0 && len(to) == 0 {
		from, to = l.ZoneFirst, l.ZoneLast
	}
	if first, err = parseTime(from); err != nil {
		return 0, 0, fmt.Errorf("time_first: %w", err)
	}
	if last, err = parseTime(to); err != nil {
		return 0, 0, fmt.Errorf("time_last: %w", err)
	}
	if last < first {
		return 0, 0, errors.New("time_last is before time_first")
	}
	return first, last, nil
}

// timeLayouts are how others write times that are no numbers.
var timeLayouts = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04:05 UTC", time.DateOnly}

func parseTime(raw json.RawMessage) (uint32, error) {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	seconds, err := strconv.ParseFloat(text, 64)
	for _, layout := range timeLayouts {
		if err == nil {
			break
		}
		var t time.Time
		if t, err = time.Parse(layout, text); err == nil {
			seconds = float64(t.Unix())
		}
	}
	if err != nil || !(seconds >= 1 && seconds < 1<<32) {
		return 0, fmt.Errorf("got %.40q, want seconds since 1970 or a time such as 2026-11-22T08:00:00Z", text)
	}
	return uint32(seconds), nil
}

// parseCount reads a number of sightings; 1 where none is given.
func parseCount(raw json.RawMessage) (uint64, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return 1, nil
	}
	text := strings.Trim(string(raw), `"`)
	if n, err := strconv.ParseUint(text, 10, 64); err == nil && n < math.MaxInt64 {
		return n, nil
	}
	return 0, fmt.Errorf("count: got %.40q, want a number", raw)
}

func (l *foreign) records(name string, kind uint16) ([]recordOf, error) {
	var list []string
	if json.Unmarshal(l.Data, &list) != nil {
		var one string
		if err := json.Unmarshal(l.Data, &one); err != nil {
			return nil, errors.New("rdata: want a text or a list of texts")
		}
		list = []string{one}
	}
	if len(list) == 0 || len(list) > maxLineData {
		return nil, fmt.Errorf("rdata: got %d, want 1 to %d", len(list), maxLineData)
	}
	var out []recordOf
	for _, text := range list {
		r := recordOf{Name: name, Type: kind}
		if strings.TrimSpace(text) == "" {
			if strings.EqualFold(l.Rcode, "NXDOMAIN") {
				r.Form = formMissing
			}
			out = append(out, r)
			continue
		}
		form, data, err := parseData(kind, strings.TrimSpace(text))
		if err == nil && len(data) > maxDataBytes-3 {
			err = fmt.Errorf("longer than %d bytes", maxDataBytes-3)
		}
		if err != nil {
			return nil, fmt.Errorf("rdata: got %.80q: %w", text, err)
		}
		r.Form, r.Data = form, data
		out = append(out, r)
	}
	return out, nil
}
