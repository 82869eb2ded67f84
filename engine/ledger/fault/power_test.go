package fault

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestPowerCuts cuts the power under a ledger on ext4, on a disk with a write
// cache. Unlike a torn log this spares nothing: tables, the manifest, folders and
// the file system's own journal lose what nobody flushed. FAULT_CUTS sets how
// often.
func TestPowerCuts(t *testing.T) {
	if os.Geteuid() != 0 {
		cannot(t, "needs root: mounting a disk")
	}
	cuts := number(t, "FAULT_CUTS", 8)
	seed := number(t, "FAULT_SEED", 1)
	sum := newTally()
	const perLife = 12
	for n := 0; n*perLife < cuts; n++ {
		powerLife(t, n, seed, sum).cuts(min(perLife, cuts-n*perLife))
		if t.Failed() {
			break
		}
	}
	t.Log("\n" + sum.String())
}

// outage is a life on a disk whose power goes.
type outage struct {
	*life
	disk     *disk
	file     string // the disk
	mount    string
	attached bool
}

func powerLife(t *testing.T, n, seed int, sum *tally) *outage {
	o := &outage{life: newLife(t, n, seed+1000, sum), disk: newDisk(), mount: t.TempDir()}
	o.file = o.disk.serve(t)
	t.Cleanup(func() {
		if o.attached {
			_ = exec.Command("umount", "-l", "-d", o.mount).Run() // the test has failed already
		}
	})
	command(t, "mkfs.ext4", "-q", "-F", "-m", "0", "-b", strconv.Itoa(pageBytes), "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", o.file)
	o.attach()
	must(t, os.Mkdir(o.dir, 0o700))
	o.detach()
	return o
}

// attach mounts the disk; a test that gives up leaves no mount behind.
func (o *outage) attach() {
	o.t.Helper()
	o.attached = true
	if out, err := exec.Command("e2fsck", "-p", o.file).CombinedOutput(); err != nil { // as every boot does
		o.tally.add(fmt.Sprintf("mended by e2fsck (exit %d)", err.(*exec.ExitError).ExitCode()), 1)
		if err.(*exec.ExitError).ExitCode() > 2 {
			o.t.Fatalf("e2fsck: %s", out)
		}
	}
	command(o.t, "mount", "-o", "loop,errors=remount-ro", o.file, o.mount)
	oneWriteARequest(o.t, o.file)
	o.dir = filepath.Join(o.mount, "state")
}

// oneWriteARequest bounds the requests of a file's loop device by what FUSE takes
// in one: the device takes a request of which a later part fails for written.
func oneWriteARequest(t *testing.T, file string) {
	t.Helper()
	out, err := exec.Command("losetup", "-n", "-O", "NAME", "-j", file).Output()
	must(t, err)
	queue := filepath.Join("/sys/block", filepath.Base(strings.TrimSpace(string(out))), "queue/max_sectors_kb")
	must(t, os.WriteFile(queue, []byte("512"), 0o600))
}

func (o *outage) detach() {
	o.t.Helper()
	command(o.t, "umount", "-d", o.mount)
	o.attached = false
}

func (o *outage) cuts(n int) {
	fat := o.rng.IntN(2) == 0
	for range n {
		o.round++
		how := outages[o.rng.IntN(len(outages))]
		o.attach()
		o.keepCheckpoint()
		o.until(plan{
			Dir: o.dir, Shards: o.shards, Callers: 6, Frames: 100_000, Fat: fat, Seed: o.rng.Uint64(), Base: bases(0),
			Erase: o.rng.IntN(4) == 0,
		}, how)
		o.detach() // what it writes now goes nowhere
		o.disk.revive()
		o.attach()
		o.judge("power cut: " + how)
		o.detach()
		if o.t.Failed() {
			return
		}
	}
	o.tally.add("disks", 1)
	o.disk.count(o.tally)
}

// until lets a process work until the power goes. What it said until then counts;
// of what is read later, only what it had begun.
func (o *outage) until(p plan, how string) {
	o.t.Helper()
	writes := o.rng.IntN(writesToCut)
	if o.rng.IntN(3) == 0 {
		writes = o.rng.IntN(60) // while it opens
	}
	o.disk.arm(rand.New(rand.NewPCG(o.rng.Uint64(), 0)), how, writes)
	cmd, lines, stderr := o.start(p)
	o.listen(lines)
	at := o.disk.end()
	o.tally.add("power cuts", 1)
	if at > 0 {
		o.tally.add("power cuts with unflushed pages", 1)
	}
	o.tally.add("unflushed pages", at)
	must(o.t, cmd.Process.Kill())
	o.drain(lines)
	if err := cmd.Wait(); cmd.ProcessState.Exited() {
		o.t.Fatalf("%s, round %d: the process gave up: %v\n%s", o.name, o.round, err, stderr)
	}
}

// start begins a process, and returns what it says.
func (o *outage) start(p plan) (cmd *exec.Cmd, lines *bufio.Reader, stderr *bytes.Buffer) {
	o.t.Helper()
	text, err := json.Marshal(p)
	must(o.t, err)
	r, w, err := os.Pipe()
	must(o.t, err)
	o.t.Cleanup(func() { r.Close() })
	stderr = &bytes.Buffer{}
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), planEnv+"="+string(text))
	cmd.ExtraFiles, cmd.Stderr = []*os.File{w}, stderr
	must(o.t, cmd.Start())
	w.Close()
	return cmd, bufio.NewReaderSize(r, 1<<20), stderr
}

// TestFailingDisk lets writes and flushes of the disk fail for a moment, under
// callers that try again for ever. After the first append that fails nothing may be
// acknowledged by the same process: a later sync would say that all is well, and
// pages that never reached the disk would be gone with the next power cut. What the
// disk lost is not judged: the loop device does not tell of every failure.
func TestFailingDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		cannot(t, "needs root: mounting a disk")
	}
	sum := newTally()
	for n := range number(t, "FAULT_CUTS", 8) / 4 {
		o := powerLife(t, n, number(t, "FAULT_SEED", 1)+2000, sum)
		o.attach()
		o.disk.arm(rand.New(rand.NewPCG(o.rng.Uint64(), 0)), failing, 100+o.rng.IntN(writesToCut))
		cmd, lines, _ := o.start(plan{
			Dir: o.dir, Shards: o.shards, Callers: 6, Frames: 100_000, Seed: o.rng.Uint64(), Base: bases(0), Stubborn: 300,
		})
		o.nothingAfterAFailure(lines, cmd)
		_ = cmd.Wait() // how it ends is its own affair
		o.disk.end()
		o.disk.count(sum)
		o.detach()
	}
	t.Log("\n" + sum.String())
	if sum.counts["failed"] == 0 {
		t.Error("no append failed: the disk never did")
	}
}

// unharmed is after how many lines of a process without a failure the disk's
// failures have hit something that no append waits for.
const unharmed = 8000

// nothingAfterAFailure hears a process to its end. What was committed before the
// failure may be told by others after it: one line of each.
func (o *outage) nothingAfterAFailure(lines *bufio.Reader, cmd *exec.Cmd) {
	o.t.Helper()
	late, heard, failed := 0, 0, false
	for {
		text, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var l line
		must(o.t, json.Unmarshal(text, &l))
		o.tally.add(l.Say, 1)
		failed = failed || l.Say == "failed"
		if heard++; heard == unharmed && !failed {
			must(o.t, cmd.Process.Kill())
		}
		if l.Say != "ack" || !failed {
			continue
		}
		if late++; late > 6 {
			o.t.Errorf("%s: %d frames were acknowledged after an append had failed", o.name, late)
			return
		}
	}
}

// writesToCut bounds how long the power stays: from the first write of the
// process on, of which opening does about fifty.
const writesToCut = 1200

// listen hears the process while there is power: what is read afterwards may be
// younger than the cut.
func (o *outage) listen(lines *bufio.Reader) {
	o.t.Helper()
	for {
		text, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		if o.disk.isDead() {
			o.late(text)
			return
		}
		said, err := o.truth.hear(text)
		must(o.t, err)
		o.tally.add(said.Say, 1)
	}
}

// drain reads what was on its way.
func (o *outage) drain(lines *bufio.Reader) {
	o.t.Helper()
	for {
		text, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		o.late(text)
	}
}

// late takes a line that was read after the cut: what was tried may be there,
// what was acknowledged counts for nothing.
func (o *outage) late(text []byte) {
	o.t.Helper()
	var l line
	must(o.t, json.Unmarshal(text, &l))
	if l.Say == "try" || l.Say == "erase" {
		_, err := o.truth.hear(text)
		must(o.t, err)
	}
}
