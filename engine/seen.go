package engine

import "time"

// Seen is what the passive DNS memory knew of a registrable domain before a
// lookup. All messages of one lookup get the same.
type Seen struct {
	// Domain is the registrable domain of the name that was asked for; the name
	// itself where there is none (a public suffix, a name of one label).
	Domain string
	// Known says that the memory had seen the domain before: then First and Last
	// tell when, to the second. A name without a registrable domain is never
	// remembered, and always known.
	Known       bool
	First, Last time.Time
	// Since is when the memory began; zero while it is empty.
	Since time.Time
}

// DNSQuery asks the passive DNS memory. One of Domain, IP, Client and Target is
// given.
type DNSQuery struct {
	Domain string // the name and all below it
	IP     string // an address that was answered
	Client string // an address that asked
	Target string // a name that CNAME, DNAME, NS, PTR, MX or SRV records lead to
	Limit  int
	Cursor string
	// Whole looks at all that match, however many; else where there are too many to
	// be sorted in the time of a page, they come in the order of their names.
	Whole bool
}

// DNSRecord is what the memory has of one record, or of a name that had none.
type DNSRecord struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// Data is in presentation form. It is empty where the name had no record of the
	// type, and in the lookups of a client.
	Data  string    `json:"data"`
	Rcode string    `json:"rcode,omitempty"` // NOERROR or NXDOMAIN; empty in the lookups of a client
	First time.Time `json:"first_seen"`
	Last  time.Time `json:"last_seen"`
	Count uint64    `json:"count"`
	// Clients are some of those that asked for the name and type, by address.
	Clients []string `json:"clients,omitempty"`
}

// DNSPage is one page of an answer of the memory.
type DNSPage struct {
	Records []DNSRecord
	Next    string
	// ByName says that there were too many to be sorted: they come in the order of
	// their names, else the newest first.
	ByName bool
}

// DNSDomain is a registrable domain and when it was seen.
type DNSDomain struct {
	Domain  string    `json:"domain"`
	First   time.Time `json:"first_seen"`
	Last    time.Time `json:"last_seen"`
	Lookups uint64    `json:"lookups"`
}

// DNSImport says what became of the lines of an import into the memory.
type DNSImport struct {
	Lines   uint64 `json:"lines"`
	Records uint64 `json:"records"` // that were taken in; a line may hold several
	Expired uint64 `json:"expired"` // that were seen last too long ago to be kept
	// Refused are lines that could not be read, by reason.
	Refused map[string]*DNSRefused `json:"refused,omitempty"`
}

// DNSRefused are lines of an import that could not be read for one reason.
type DNSRefused struct {
	Count uint64   `json:"count"`
	Lines []uint64 `json:"lines"` // the numbers of the first of them
	Text  string   `json:"text"`  // what was wrong with the first
}
