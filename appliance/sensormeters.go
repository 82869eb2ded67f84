package appliance

import (
	"larkspur/engine/trigger"
	"larkspur/ui/desk"
)

// family is one family of numbers about sensors.
type family struct {
	name, help, kind string
	of               func(s *sensor, st trigger.DNSStats) []desk.Sample
}

// total makes a family of one counter a sensor.
func total(name, help string, of func(st trigger.DNSStats) uint64) family {
	return family{"dns_" + name + "_total", help, "counter", func(_ *sensor, st trigger.DNSStats) []desk.Sample {
		return []desk.Sample{{Value: float64(of(st))}}
	}}
}

// totals makes a family of counters told apart by a label.
func totals(name, label, help string, of func(st trigger.DNSStats) map[string]uint64) family {
	return family{"dns_" + name + "_total", help, "counter", func(_ *sensor, st trigger.DNSStats) (samples []desk.Sample) {
		counts := of(st)
		for _, value := range sortedKeys(counts) {
			samples = append(samples, desk.Sample{Labels: [][2]string{{label, value}}, Value: float64(counts[value])})
		}
		return samples
	}}
}

// families are what GET /metrics tells of sensors.
func families() []family {
	return []family{
		total("frames", "Frames, or lines of a log, that a sensor read.", func(st trigger.DNSStats) uint64 { return st.Capture.Source.Frames }),
		total("bytes", "Bytes of these frames.", func(st trigger.DNSStats) uint64 { return st.Capture.Source.Bytes }),
		total("outages", "How often the interface went away.", func(st trigger.DNSStats) uint64 { return st.Capture.Source.Outages }),
		total("ring_freezes", "How often the kernel found the ring full.", func(st trigger.DNSStats) uint64 { return st.Capture.Source.RingFrozen }),
		totals("messages", "direction", "DNS messages.", func(st trigger.DNSStats) map[string]uint64 {
			return map[string]uint64{"query": st.Capture.Queries, "response": st.Capture.Responses}
		}),
		totals("lost", "reason", "What was lost, by reason: frames, fragments, streams and events.", losses),
		totals("undecodable", "reason", "What breaks the rules of a protocol.", func(st trigger.DNSStats) map[string]uint64 { return st.Capture.Undecodable }),
		totals("ignored", "reason", "What is none of ours to decode.", func(st trigger.DNSStats) map[string]uint64 { return st.Capture.Ignored }),
		totals("pairing", "outcome", "What became of queries and responses.", pairing),
		total("wanted", "Messages that some rule could match.", func(st trigger.DNSStats) uint64 { return st.Wanted }),
		total("matched", "Messages that a rule matched.", func(st trigger.DNSStats) uint64 { return st.Matched }),
		total("recorded", "Of these, the ones that became events.", func(st trigger.DNSStats) uint64 { return st.Delivered }),
		{"dns_latency_seconds", "How long queries waited for their answers.", "summary", latency},
		{"dns_interface_up", "1 while the interface is there and switched on.", "gauge", interfaceUp},
		{"dns_ring_bytes", "Room for frames that are not yet read; 0 where there is no ring.", "gauge", ringBytes},
	}
}

func pairing(st trigger.DNSStats) map[string]uint64 {
	p := st.Capture.Pairing
	if p == nil {
		return nil
	}
	return map[string]uint64{
		"answered": p.Answered, "unanswered": p.Unanswered, "answered_twice": p.AnsweredTwice,
		"retransmitted": p.Retransmitted, "without_query": p.WithoutQuery, "forgotten": p.Forgotten,
	}
}

func latency(_ *sensor, st trigger.DNSStats) []desk.Sample {
	if st.Capture.Pairing == nil {
		return nil
	}
	l := st.Capture.Pairing.Latency
	samples := []desk.Sample{{Suffix: "_sum", Value: l.Sum}, {Suffix: "_count", Value: float64(l.Count)}}
	for _, q := range []struct {
		name  string
		value float64
	}{{"0.5", l.P50}, {"0.9", l.P90}, {"0.99", l.P99}} {
		samples = append(samples, desk.Sample{Labels: [][2]string{{"quantile", q.name}}, Value: q.value})
	}
	return samples
}

func interfaceUp(s *sensor, _ trigger.DNSStats) []desk.Sample {
	if len(s.lives) == 0 {
		return nil
	}
	up := 0.0
	if state := s.lives[0].State(); !state.Away && !state.Down {
		up = 1
	}
	return []desk.Sample{{Value: up}}
}

func ringBytes(s *sensor, _ trigger.DNSStats) []desk.Sample {
	if len(s.lives) == 0 {
		return nil
	}
	sum := 0
	for _, l := range s.lives {
		sum += l.State().RingBytes
	}
	return []desk.Sample{{Value: float64(sum)}}
}

// sensorMeters are the numbers of all sensors.
func (a *Appliance) sensorMeters() []desk.Meter {
	stats := make([]trigger.DNSStats, len(a.sensors))
	for i, s := range a.sensors {
		stats[i] = s.stats()
	}
	var meters []desk.Meter
	for _, f := range families() {
		m := desk.Meter{Name: f.name, Help: f.help, Type: f.kind}
		for i, s := range a.sensors {
			for _, sample := range f.of(s, stats[i]) {
				sample.Labels = append([][2]string{{"sensor", s.name}}, sample.Labels...)
				m.Samples = append(m.Samples, sample)
			}
		}
		if len(m.Samples) > 0 {
			meters = append(meters, m)
		}
	}
	return meters
}
