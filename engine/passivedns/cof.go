package passivedns

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"larkspur/engine"
	"larkspur/engine/capture"
)

// exportAtOnce is how many records are read before they are written: no view is
// open while a slow reader takes them.
const exportAtOnce = 1000

// line is a record in the passive DNS common output format
// (draft-dulaunoy-dnsop-passive-dns-cof §3). rdata is empty and rcode there where
// the name had no record of the type.
type line struct {
	Name   string `json:"rrname"`
	Type   string `json:"rrtype"`
	Data   string `json:"rdata"`
	First  uint32 `json:"time_first"`
	Last   uint32 `json:"time_last"`
	Count  uint64 `json:"count"`
	Rcode  string `json:"rcode,omitempty"`
	Sensor string `json:"sensor_id,omitempty"`
}

// Export writes every record that is remembered in the passive DNS common output
// format, one JSON object a line, in the order of names. Who asked is not part of
// it. sensor stands in each line.
func (m *Memory) Export(ctx context.Context, out io.Writer, sensor string) error {
	if err := m.Flush(); err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for start := class(classRecord); start != nil; {
		var list []found
		var err error
		if list, start, err = m.some(start); err != nil {
			return err
		}
		for _, f := range list {
			if l, err := lineOf(f, sensor); err == nil {
				if err := enc.Encode(l); err != nil {
					return err
				}
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return w.Flush()
}

// some returns records from start on, and where to go on; nil at the end.
func (m *Memory) some(start []byte) (list []found, more []byte, err error) {
	oldest := m.oldest(m.cfg.Settings().Keep)
	v, err := m.cfg.Cache.View()
	if err != nil {
		return nil, nil, err
	}
	defer v.Close()
	err = v.Scan(class(classRecord), start, func(key, text []byte) bool {
		if len(list) == exportAtOnce {
			more = slices.Clone(key)
			return false
		}
		if val, bad := decodeValue(text); bad == nil && val.last >= oldest {
			list = append(list, found{key: string(key), v: val})
		}
		return true
	})
	return list, more, err
}

func lineOf(f found, sensor string) (line, error) {
	r, err := parseRecord([]byte(f.key))
	if err != nil {
		return line{}, err
	}
	l := line{Name: r.Name, Type: capture.TypeName(r.Type), Data: r.exported(), First: f.v.first, Last: f.v.last, Count: f.v.count, Sensor: sensor}
	switch r.Form {
	case formMissing:
		l.Rcode = "NXDOMAIN"
	case formNone:
		l.Rcode = "NOERROR"
	}
	return l, nil
}

// exported is the data as text from which the very same data is read again: the
// presentation form or, where that says less, the generic one (RFC 3597 §5).
func (r recordOf) exported() string {
	text := r.text()
	if r.Form != formWire {
		return text
	}
	if form, data, err := parseData(r.Type, text); err != nil || form != r.Form || string(data) != string(r.Data) {
		return capture.GenericData(r.Data)
	}
	return text
}

// maxRefusedLines bounds the numbers that are told of a reason.
const maxRefusedLines = 20

// refuse counts the present line.
func refuse(r *engine.DNSImport, reason, text string) {
	if r.Refused == nil {
		r.Refused = map[string]*engine.DNSRefused{}
	}
	why := r.Refused[reason]
	if why == nil {
		why = &engine.DNSRefused{Text: text}
		r.Refused[reason] = why
	}
	if why.Count++; len(why.Lines) < maxRefusedLines {
		why.Lines = append(why.Lines, r.Lines)
	}
}

// Import takes in records in the passive DNS common output format, as this memory,
// CIRCL's and DNSDB write it: one JSON object a line, times as seconds since 1970 or
// as ISO 8601, data as a text or a list. What is known already is added up, so the
// same file counts twice if it is imported twice. Lines that cannot be read are
// counted by reason; the error is of the reader, the store or ctx, after what came
// before was taken in.
func (m *Memory) Import(ctx context.Context, in io.Reader) (report engine.DNSImport, err error) {
	m.open()
	lines := bufio.NewReaderSize(in, maxLineBytes)
	imp := importer{m: m, report: &report, oldest: m.oldest(m.cfg.Settings().Keep), domains: map[string]value{}}
	for {
		text, failed := readLine(lines)
		if len(text) > 0 || failed == nil || failed == errLong {
			report.Lines++
			imp.line(text, failed)
		}
		if failed != nil && failed != errLong {
			if err = imp.write(); failed != io.EOF {
				err = firstOf(err, engine.WrapError(engine.Invalid, failed, "import"))
			}
			return report, err
		}
		if len(imp.rows) >= rowsAtOnce {
			if err := firstOf(imp.write(), ctx.Err()); err != nil {
				return report, err
			}
		}
	}
}

// importer gathers what is to be written.
type importer struct {
	m       *Memory
	report  *engine.DNSImport
	oldest  uint32
	rows    []row
	domains map[string]value
}

func (i *importer) line(text []byte, long error) {
	if long == errLong {
		refuse(i.report, "too_long", "longer than 256 KiB")
		return
	}
	if len(strings.TrimSpace(string(text))) == 0 {
		return
	}
	records, v, reason, err := parseLine(text)
	if err != nil {
		refuse(i.report, reason, err.Error())
		return
	}
	if v.last < i.oldest {
		i.report.Expired += uint64(len(records))
		return
	}
	for _, r := range records {
		i.report.Records++
		i.rows = append(i.rows, row{string(r.appendKey(nil)), v})
		if domain, ok := capture.Registrable(r.Name); ok {
			seen := i.domains[domain]
			seen.add(v)
			i.domains[domain] = seen
		}
	}
}

// write writes what was gathered.
func (i *importer) write() error {
	m := i.m
	m.writing.Lock()
	defer m.writing.Unlock()
	for len(i.rows) > 0 {
		piece := i.rows[:min(len(i.rows), rowsAtOnce)]
		if err := m.tryWrite(merge(piece)); err != nil {
			return err
		}
		i.rows = i.rows[len(piece):]
	}
	var rows []row
	for domain, v := range i.domains {
		rows = append(rows, row{domain, v})
	}
	if err := m.writeDomainRows(rows); err != nil {
		return err
	}
	m.tables.Load().domains.know(rows)
	clear(i.domains)
	i.rows = nil
	return nil
}

// merge adds up rows of one key: a batch of writes may hold it once.
func merge(rows []row) []row {
	at, out := map[string]int{}, make([]row, 0, len(rows))
	for _, r := range rows {
		if n, ok := at[r.key]; ok {
			out[n].v.add(r.v)
			continue
		}
		at[r.key] = len(out)
		out = append(out, r)
	}
	return out
}

// know tells the table what was written of domains beside it.
func (d *domains) know(rows []row) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range rows {
		if e := d.find(d.hash(r.key)); e != nil {
			if e.first == 0 || r.v.first < e.first {
				e.first = r.v.first
			}
			e.last = max(e.last, r.v.last)
		}
	}
}

// parseData reads data as people and other programs write it.
func parseData(kind uint16, text string) (form byte, data []byte, err error) {
	if data, ok := capture.ParseGeneric(text); ok && !holdsNames(kind) {
		return formWire, data, nil
	}
	switch {
	case isTarget(kind):
		name, err := normalName(text)
		return formText, []byte(name), err
	case kind == dns.TypeTXT && !strings.HasPrefix(text, `"`):
		text = quote(text)
	case holdsNames(kind) && strings.HasPrefix(text, `\# `):
		return formText, []byte(text), nil
	}
	data, err = capture.PackData(kind, text)
	if err != nil {
		return 0, nil, err
	}
	if holdsNames(kind) {
		return formText, []byte(capture.PresentData(kind, data)), nil
	}
	return formWire, data, nil
}

// quote makes character strings (RFC 1035 §3.3) of a text that some write without
// quotation marks.
func quote(text string) string {
	const longest = 255
	var parts []string
	for ; len(text) > longest; text = text[longest:] {
		parts = append(parts, text[:longest])
	}
	var b strings.Builder
	for _, part := range append(parts, text) {
		b.WriteString(`"` + strings.ReplaceAll(part, `"`, `\"`) + `" `)
	}
	return strings.TrimSuffix(b.String(), " ")
}
