package command

import (
	"encoding/json"
	"fmt"
	"io"

	"larkspur/appliance"
	"larkspur/engine"
	"larkspur/ui/desk"
)

// runScrub looks for damage in a workspace's state folder: a running appliance
// does it beside its work; when none runs, it is done here.
func runScrub(c *call) error {
	args, err := c.flags(nil)
	if err != nil {
		return err
	}
	dir, err := oneDir(args)
	if err != nil {
		return err
	}
	if env("LARKSPUR_URL") != "" || serving(c.ctx, dir) {
		return c.scrubOnline(dir)
	}
	told := progressPrinter(c.stderr)
	s, err := appliance.Scrub(c.ctx, dir, func(now desk.Scrub) { told(now.Records, now.Total) })
	if failed := scrubbed(c.stdout, s); err == nil {
		err = failed
	}
	return err
}

func (c *call) scrubOnline(dir string) error {
	var end desk.Scrub
	err := c.follow(dir, "/api/v1/scrub", "scrub", func(answer []byte) (running bool, done, total uint64, err error) {
		end = desk.Scrub{}
		err = json.Unmarshal(answer, &end)
		return end.Running, end.Records, end.Total, err
	})
	if err != nil {
		return err
	}
	return scrubbed(c.stdout, end)
}

// scrubbed prints what a scrub found.
func scrubbed(w io.Writer, s desk.Scrub) error {
	for _, f := range s.Findings {
		fmt.Fprintf(w, "%s: %s\n  meaning: %s\n  to do:   %s\n", f.Subject, f.What, f.Means, f.Do)
	}
	if s.More > 0 {
		fmt.Fprintf(w, "and %d more\n", s.More)
	}
	switch {
	case len(s.Findings) > 0:
		fmt.Fprintf(w, "\n%d findings; %d records and %d MB were read\n", uint64(len(s.Findings))+s.More, s.Records, s.Bytes>>20)
		return errProblems
	case s.Error != "":
		return engine.Errorf(engine.Unavailable, "the scrub did not end: %s", s.Error)
	}
	fmt.Fprintf(w, "whole: %d records and all files\n", s.Records)
	switch {
	case s.NotCompared != "":
		fmt.Fprintf(w, "the projections were not compared with the records: %s\n", s.NotCompared)
	case s.Compared > 0:
		fmt.Fprintf(w, "%d entries of the projections are what the records give\n", s.Compared)
	}
	return nil
}
