package appliance

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"

	"larkspur/engine"
	"larkspur/engine/capture"
	"larkspur/engine/passivedns"
	"larkspur/engine/record"
	"larkspur/ui"
	"larkspur/ui/desk"
)

// dnsMemory shows the passive DNS memory to pages and the interface.
type dnsMemory struct{ a *Appliance }

// DNSHistory implements desk.DNS.
func (d dnsMemory) DNSHistory(q engine.DNSQuery) (engine.DNSPage, error) {
	return d.a.memory.History(q)
}

// DNSDomains implements desk.DNS.
func (d dnsMemory) DNSDomains(cursor string, limit int) ([]engine.DNSDomain, string, error) {
	return d.a.memory.Domains(cursor, limit)
}

// ExportDNS implements desk.DNS: what a house asks for is its people's matter, so
// the export is a record.
func (d dnsMemory) ExportDNS(ctx context.Context, w io.Writer, by string) error {
	if err := d.a.note(ctx, record.ExportedKind, record.Exported{By: by, What: "dns"}); err != nil {
		return err
	}
	return d.a.memory.Export(ctx, w, d.a.current().Name)
}

// ImportDNS implements desk.DNS.
func (d dnsMemory) ImportDNS(ctx context.Context, r io.Reader, by string) (engine.DNSImport, error) {
	report, err := d.a.memory.Import(ctx, r)
	slog.Info("passive DNS imported", "by", by, "lines", report.Lines, "records", report.Records)
	return report, err
}

// ClientName implements desk.DNS.
func (d dnsMemory) ClientName(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	return d.a.clients.Name(a, capture.MAC{})
}

// memoryHealth tells how the passive DNS memory fares; every loss is shown.
func (a *Appliance) memoryHealth() (c ui.Check, tell bool) {
	s := a.memory.Stats()
	c = ui.Check{Name: "dns memory", Status: desk.HealthOK, Message: fmt.Sprintf("%d records, %d lookups of clients, %d domains", s.Records, s.Asked, s.Domains)}
	if !s.Since.IsZero() {
		c.Message += " since " + s.Since.Format("2006-01-02 15:04 UTC")
	}
	if bound := a.current().History.Entries; s.Evicted > 0 {
		c.Message += fmt.Sprintf("; %d made room for others, of each kind %d are kept", s.Evicted, bound)
	}
	if s.Behind > 0 {
		c.Message += fmt.Sprintf("; %d KB wait to be taken in", (s.Behind+1023)>>10)
	}
	for _, reason := range sortedKeys(s.Dropped) {
		if s.Dropped[reason] == 0 {
			continue
		}
		if reason != passivedns.DropMalformed && reason != passivedns.DropTooLong { // the senders' fault
			c.Status = desk.HealthWarn
		}
		c.Message += fmt.Sprintf("; %d lost: %s", s.Dropped[reason], strings.ReplaceAll(reason, "_", " "))
	}
	return c, s.Observed > 0 || s.Records > 0 || s.Domains > 0
}

// meters are those of sensors and of the passive DNS memory.
func (a *Appliance) meters() []desk.Meter { return append(a.sensorMeters(), a.memoryMeters()...) }

// memoryMeters are the numbers of the passive DNS memory, once it has seen something.
func (a *Appliance) memoryMeters() []desk.Meter {
	s := a.memory.Stats()
	if s.Observed == 0 && s.Records == 0 {
		return nil
	}
	one := func(name, kind, help string, n float64) desk.Meter {
		return desk.Meter{Name: "dns_memory_" + name, Type: kind, Help: help, Samples: []desk.Sample{{Value: n}}}
	}
	entries := desk.Meter{Name: "dns_memory_entries", Type: "gauge", Help: "Entries of the passive DNS memory."}
	for _, kind := range []struct {
		name string
		n    int64
	}{{"records", s.Records}, {"asked", s.Asked}, {"domains", s.Domains}} {
		entries.Samples = append(entries.Samples, desk.Sample{Labels: [][2]string{{"kind", kind.name}}, Value: float64(kind.n)})
	}
	dropped := desk.Meter{Name: "dns_memory_dropped_total", Type: "counter", Help: "Sightings that the passive DNS memory lost, by reason."}
	for _, reason := range sortedKeys(s.Dropped) {
		dropped.Samples = append(dropped.Samples, desk.Sample{Labels: [][2]string{{"reason", reason}}, Value: float64(s.Dropped[reason])})
	}
	return []desk.Meter{
		entries, dropped,
		one("observed_total", "counter", "Messages that the passive DNS memory took note of.", float64(s.Observed)),
		one("left_out_total", "counter", "Messages that are no matter of the memory: mDNS, LLMNR, other classes, no question.", float64(s.LeftOut)),
		one("merged_total", "counter", "Sightings that were counted in memory alone.", float64(s.Merged)),
		one("new_total", "counter", "Entries that were new.", float64(s.Added)),
		one("written_total", "counter", "Entries that were written, new or not.", float64(s.Written)),
		one("expired_total", "counter", "Entries whose time was over.", float64(s.Expired)),
		one("evicted_total", "counter", "Entries that made room for others.", float64(s.Evicted)),
		one("behind_bytes", "gauge", "Bytes of messages that wait to be taken in.", float64(s.Behind)),
	}
}
