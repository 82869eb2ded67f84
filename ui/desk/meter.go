package desk

// Meter is a family of numbers for GET /metrics that no record holds: counters
// begin at 0 with the program.
type Meter struct {
	Name    string // after "larkspur_"; of a counter it ends with _total
	Help    string // a sentence
	Type    string // counter, gauge or summary
	Samples []Sample
}

// Sample is one number of a Meter.
type Sample struct {
	// Suffix goes after the name: _sum and _count of a summary.
	Suffix string
	Labels [][2]string // names and values
	Value  float64
}
