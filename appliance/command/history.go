package command

import (
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"larkspur/engine"
)

// runHistory looks through the memory of DNS of a running appliance.
func runHistory(c *call) error {
	look := func(by string) func(*question) error {
		return func(q *question) error {
			v := url.Values{by: {q.args[0]}, "limit": {strconv.Itoa(q.opts.limit)}}
			return get(q, "dns?"+v.Encode(), showHistory)
		}
	}
	return c.client([]ask{
		{"list", "", func(q *question) error {
			return get(q, "dns/domains?limit="+strconv.Itoa(q.opts.limit), showDomains)
		}},
		{"name", "NAME", look("domain")},
		{"ip", "ADDRESS", look("ip")},
		{"client", "ADDRESS", look("client")},
		{"target", "NAME", look("target")},
		{"export", "", exportHistory},
		{"import", "FILE", importHistory},
	})
}

func showDomains(w io.Writer, p page[engine.DNSDomain]) {
	fmt.Fprintln(w, "FIRST SEEN\tLAST SEEN\tLOOKUPS\tDOMAIN")
	for _, d := range p.Items {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", stamp(d.First), stamp(d.Last), d.Lookups, d.Domain)
	}
}

func showHistory(w io.Writer, p page[engine.DNSRecord]) {
	fmt.Fprintln(w, "LAST SEEN\tFIRST SEEN\tCOUNT\tNAME\tTYPE\tANSWER\tASKED BY")
	for _, r := range p.Items {
		answer := r.Data
		if r.Rcode != "" && answer == "" {
			answer = map[string]string{"NXDOMAIN": "(no such name)"}[r.Rcode]
			if answer == "" {
				answer = "(no such record)"
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%.80s\t%s\n", stamp(r.Last), stamp(r.First), r.Count, r.Name, r.Type, answer, strings.Join(r.Clients, " "))
	}
}

// exportHistory prints the memory in the passive DNS common output format.
func exportHistory(q *question) error {
	q.client.http.Timeout = 0 // it takes as long as it takes
	resp, err := q.client.send(q.ctx, "GET", "/api/v1/dns/export", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBytes)) // what of it came
		return apiError(resp, text)
	}
	if _, err := io.Copy(q.stdout, resp.Body); err != nil {
		return engine.WrapError(engine.Unavailable, err, "the export broke off")
	}
	return nil
}

// maxErrorBytes bounds what is read of an error.
const maxErrorBytes = 64 << 10

// importHistory sends a file, or standard input for "-".
func importHistory(q *question) error {
	in := q.stdin
	if name := q.args[0]; name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return engine.WrapError(engine.NotFound, err, "import").WithHint("check the path; - reads standard input")
		}
		defer f.Close()
		in = f
	}
	q.client.http.Timeout = 0
	return post(q, "dns/import", in, showImport)
}

func showImport(w io.Writer, r engine.DNSImport) {
	fmt.Fprintf(w, "%d lines, %d records taken in", r.Lines, r.Records)
	if r.Expired > 0 {
		fmt.Fprintf(w, ", %d older than what is kept", r.Expired)
	}
	fmt.Fprintln(w)
	for _, reason := range slices.Sorted(maps.Keys(r.Refused)) {
		why := r.Refused[reason]
		var lines []string
		for _, n := range why.Lines {
			lines = append(lines, strconv.FormatUint(n, 10))
		}
		fmt.Fprintf(w, "%d refused: %s (%s), in lines %s\n", why.Count, strings.ReplaceAll(reason, "_", " "), why.Text, strings.Join(lines, ", "))
	}
}
