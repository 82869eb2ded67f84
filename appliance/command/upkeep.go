package command

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"larkspur/appliance"
	"larkspur/appliance/config"
	"larkspur/engine"
	"larkspur/engine/store"
	"larkspur/ui/desk"
)

// rebuildAskEvery is how often a running appliance is asked how far it is.
const rebuildAskEvery = time.Second

// runRebuild has a running appliance make its projections anew, and does it
// itself when none runs.
func runRebuild(c *call) error {
	args, err := c.flags(nil)
	if err != nil {
		return err
	}
	dir, err := oneDir(args)
	if err != nil {
		return err
	}
	if env("LARKSPUR_URL") != "" || serving(c.ctx, dir) {
		return c.rebuildOnline(dir)
	}
	told := progressPrinter(c.stderr)
	n, err := appliance.Rebuild(c.ctx, dir, operator("larkspur rebuild"), told)
	if err == nil {
		fmt.Fprintf(c.stdout, "rebuilt all projections from %d records\n", n)
	}
	return err
}

// serving reports whether an appliance serves a workspace.
func serving(ctx context.Context, dir string) bool {
	settings, _ := config.Load(dir)
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", filepath.Join(settings.Box.Store, appliance.ControlSocket))
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func (c *call) rebuildOnline(dir string) error {
	var end desk.Rebuild
	err := c.follow(dir, "/api/v1/rebuild", "rebuild", func(answer []byte) (running bool, done, total uint64, err error) {
		end = desk.Rebuild{}
		err = json.Unmarshal(answer, &end)
		return end.Running, end.Done, end.Total, err
	})
	if err != nil {
		return err
	}
	return rebuilt(c.stdout, end)
}

// follow has a running appliance begin a piece of upkeep, unless it is at it, and
// tells how far it is until it ends. read decodes what the appliance answers.
func (c *call) follow(dir, path, what string, read func([]byte) (running bool, done, total uint64, err error)) error {
	cl, err := newClient(dir)
	if err != nil {
		return err
	}
	if _, err := cl.do(c.ctx, "POST", path, nil); err != nil && engine.KindOf(err) != engine.Conflict {
		return err
	} else if err != nil {
		fmt.Fprintf(c.stderr, "%v\n", err)
	}
	told := progressPrinter(c.stderr)
	for {
		answer, err := cl.do(c.ctx, "GET", path, nil)
		if err != nil {
			return err
		}
		running, done, total, err := read(answer)
		if err != nil {
			return engine.WrapError(engine.Internal, err, "the appliance's answer")
		}
		if !running {
			return nil
		}
		told(done, total)
		if err := (engine.SystemClock{}).Sleep(c.ctx, rebuildAskEvery); err != nil {
			return engine.WrapError(engine.Timeout, err, "no longer waiting; the "+what+" goes on")
		}
	}
}

func rebuilt(w io.Writer, r desk.Rebuild) error {
	if r.Error != "" {
		return engine.Errorf(engine.Unavailable, "%s", r.Error).WithHint("the former projections are in force; the log of the appliance says more")
	}
	_, err := fmt.Fprintf(w, "rebuilt all projections from %d records, while the appliance went on\n", r.Total)
	if err == nil && r.Differ > 0 {
		_, err = fmt.Fprintf(w, "%d of %d entries were not what the records give: %s\n", r.Differ, r.Compared, strings.Join(r.Differs, ", "))
	}
	return err
}

// progressPrinter prints progress when it has changed by a percent.
func progressPrinter(w io.Writer) func(done, total uint64) {
	last := uint64(0)
	return func(done, total uint64) {
		if total == 0 || 100*done/total == last {
			return
		}
		last = 100 * done / total
		fmt.Fprintf(w, "%d of %d records, %d %%\n", done, total, last)
	}
}

// runRollback puts the store back as it was before an upgrade.
func runRollback(c *call) error {
	where, yes := ".", false
	args, err := c.flags(func(f *flag.FlagSet) {
		f.StringVar(&where, "C", ".", "the workspace")
		f.BoolVar(&yes, "yes", false, "do it; without, rollback to says what would be lost")
	})
	if err != nil {
		return err
	}
	a, args, err := pick([]ask{{name: "list"}, {name: "to", args: "NAME"}, {name: "remove", args: "NAME"}}, args)
	if err != nil {
		return err
	}
	dir, err := appliance.LedgerDir(where)
	if err != nil {
		return err
	}
	switch a.name {
	case "to":
		return c.rollBack(dir, args[0], yes)
	case "remove":
		if err := store.RemoveSnapshot(dir, args[0]); err != nil {
			return err
		}
		fmt.Fprintf(c.stdout, "removed %s\n", args[0])
		return nil
	}
	return c.listSnapshots(dir)
}

func (c *call) listSnapshots(dir string) error {
	list, err := store.Snapshots(dir)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		fmt.Fprintln(c.stderr, "there is no snapshot: no upgrade changed the store's schema in the last two weeks")
		return nil
	}
	table := tabwriter.NewWriter(terminal{c.stdout}, 0, 8, 2, ' ', 0)
	for _, s := range list {
		fmt.Fprintf(table, "%s\t%s\n", s.Name, appliance.DescribeSnapshot(s))
	}
	return table.Flush()
}

// rollBack tells what is lost before it does anything.
func (c *call) rollBack(dir, name string, yes bool) error {
	list, err := store.Snapshots(dir)
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.Name == name {
			fmt.Fprintln(c.stderr, lossOf(dir, s))
		}
	}
	if !yes {
		return usagef("nothing was changed; say --yes to put %s back", name)
	}
	kept, err := store.RollBack(dir, name)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "%s is in force again; what it took the place of is kept as %s\n", name, kept.Name)
	fmt.Fprintf(c.stdout, "start the larkspur that wrote it; today's would upgrade it again\n")
	return nil
}

// lossOf says plainly what a rollback takes out of force.
func lossOf(dir string, s store.Snapshot) string {
	lost, err := appliance.LostBy(dir, s)
	const kept = " It is kept as a snapshot of its own, but not merged: what was done to the world since stays done, and the box forgets it."
	switch {
	case err != nil:
		return fmt.Sprintf("All that was recorded since %s is lost; how much cannot be told (%v).", s.Made.Format(time.DateTime), strings.TrimSpace(err.Error())) + kept
	case lost.Known:
		return fmt.Sprintf("%d records since %s are lost, the last of %s.", lost.Records, s.Made.Format(time.DateTime), lost.Last.Format(time.DateTime)) + kept
	}
	return fmt.Sprintf("All that was recorded since %s is lost.", s.Made.Format(time.DateTime)) + kept
}
