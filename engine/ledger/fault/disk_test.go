package fault

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

const (
	diskBytes = 768 << 20
	pageBytes = 4096
)

// disk is a disk with a write cache, as one file served by FUSE: what was written
// since the last flush may be lost, in whole or in part, when the power goes.
// ext4 lies on it by a loop device, whose flushes are the file's fsyncs.
type disk struct {
	fs.Inode

	mu      sync.Mutex        // guards what follows
	stable  map[int64]*page   // what survives, by page number; a page is never changed
	cache   map[int64]*page   // written since the last flush
	order   []int64           // page numbers of writes since the last flush, the oldest first
	history map[int64][]*page // each version of a page in cache, the oldest first
	dead    bool              // the power is out: writes go nowhere
	failing int               // so many writes and flushes fail from now on
	later   int               // so many will fail from the next flush on
	failed  int               // how many did
	due     *due              // when the power goes; nil: it stays
	stake   int               // pages that were not flushed at the last cut
	flushes int
	writes  int
}

type page [pageBytes]byte

func newDisk() *disk {
	d := &disk{stable: map[int64]*page{}}
	d.forget()
	return d
}

// forget empties the write cache; mu is held.
func (d *disk) forget() { d.cache, d.history, d.order = map[int64]*page{}, map[int64][]*page{}, nil }

// at returns a page as it reads now; mu is held.
func (d *disk) at(n int64) *page {
	if p, ok := d.cache[n]; ok {
		return p
	}
	if p, ok := d.stable[n]; ok {
		return p
	}
	return &page{}
}

// Read implements fs.NodeReader.
func (d *disk) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	dest = dest[:max(0, min(int64(len(dest)), diskBytes-off))]
	for done := 0; done < len(dest); {
		n, from := (off+int64(done))/pageBytes, (off+int64(done))%pageBytes
		done += copy(dest[done:], d.at(n)[from:])
	}
	return fuse.ReadResultData(dest), 0
}

// Write implements fs.NodeWriter.
func (d *disk) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if off+int64(len(data)) > diskBytes {
		return 0, syscall.ENOSPC
	}
	if d.fails() {
		return 0, syscall.EIO
	}
	for done := 0; done < len(data) && !d.dead; {
		n, from := (off+int64(done))/pageBytes, (off+int64(done))%pageBytes
		p := *d.at(n)
		done += copy(p[from:], data[done:])
		d.cache[n] = &p
		d.history[n] = append(d.history[n], &p)
		d.order = append(d.order, n)
	}
	d.writes++
	if d.due != nil {
		if d.due.writes--; d.due.writes < 0 {
			d.strike()
		}
	}
	return uint32(len(data)), 0
}

// Fsync implements fs.NodeFsyncer.
func (d *disk) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.dead:
		return 0
	case d.fails():
		return syscall.EIO // what is in the cache stays there
	}
	for n, p := range d.cache {
		d.stable[n] = p
	}
	d.forget()
	d.flushes++
	// Failing begins between two requests of the loop device: it takes one of
	// which the second half failed for written.
	d.failing, d.later = d.later, 0
	return 0
}

// Open implements fs.NodeOpener: what the kernel has cached is stale.
func (d *disk) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) { return nil, 0, 0 }

// Getattr implements fs.NodeGetattrer.
func (d *disk) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size, out.Blksize = syscall.S_IFREG|0o600, diskBytes, pageBytes
	return 0
}

// Setattr implements fs.NodeSetattrer; the size stays.
func (d *disk) Setattr(ctx context.Context, f fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return d.Getattr(ctx, f, out)
}

// failing is an outage of another kind: some writes or flushes fail, as those of a
// dying disk do. The kernel tells of it once, and then takes the pages for clean.
const failing = "failing"

// Outages say what of the unflushed writes reaches the medium.
var outages = []string{"nothing", "the first", "some", "some sectors", "everything"}

// due is a power cut that will come after so many writes.
type due struct {
	writes int
	how    string
	rng    *rand.Rand
}

// arm lets the power go after so many writes, in the midst of what belongs
// together: most writes are flushed a moment later.
func (d *disk) arm(rng *rand.Rand, how string, writes int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.due = &due{writes, how, rng}
}

// strike does what is due: the power goes, or the disk fails from its next flush
// on. mu is held.
func (d *disk) strike() {
	if d.due.how != failing {
		d.cut()
		return
	}
	d.later, d.due = 1+d.due.rng.IntN(3), nil
}

// fails counts a write or a flush that fails; mu is held.
func (d *disk) fails() bool {
	if d.failing == 0 || d.dead {
		return false
	}
	d.failing--
	d.failed++
	return true
}

// end lets it go now unless it has, and returns how many pages were at stake.
func (d *disk) end() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.due == nil && !d.dead {
		d.dead = true
	}
	if !d.dead {
		d.cut()
	}
	return d.stake
}

func (d *disk) isDead() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dead
}

// cut ends the power: of what was not flushed, some reaches the medium. Nothing
// is written until revive; mu is held.
func (d *disk) cut() {
	rng, how := d.due.rng, d.due.how
	order, history := d.order, d.history
	d.dead, d.due, d.stake = true, nil, len(history)
	d.forget()
	upTo := len(order)
	if how == "the first" && upTo > 0 {
		upTo = rng.IntN(upTo)
	}
	version := map[int64]int{}
	for _, n := range order[:upTo] {
		p := history[n][version[n]]
		version[n]++
		switch {
		case how == "nothing", (how == "some" || how == "some sectors") && rng.IntN(2) == 0:
		case how == "some sectors":
			d.stable[n] = d.torn(rng, n, p)
		default:
			d.stable[n] = p
		}
	}
}

// torn returns a page of which some sectors were written; mu is held.
func (d *disk) torn(rng *rand.Rand, n int64, p *page) *page {
	mixed := *d.at(n)
	for from := 0; from < pageBytes; from += sectorBytes {
		if rng.IntN(2) == 0 {
			copy(mixed[from:from+sectorBytes], p[from:])
		}
	}
	return &mixed
}

func (d *disk) revive() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead, d.failing, d.later, d.due = false, 0, 0, nil
}

// count adds what was done to the disk.
func (d *disk) count(sum *tally) {
	d.mu.Lock()
	defer d.mu.Unlock()
	sum.add("flushes", d.flushes)
	sum.add("writes", d.writes)
	sum.add("failed writes and flushes", d.failed)
}

// diskRoot is the folder with the one file.
type diskRoot struct {
	fs.Inode
	disk *disk
}

// OnAdd implements fs.NodeOnAdder.
func (r *diskRoot) OnAdd(ctx context.Context) {
	r.AddChild("disk", r.NewPersistentInode(ctx, r.disk, fs.StableAttr{Mode: syscall.S_IFREG}), false)
}

// serve shows the disk as a file until the test ends, and returns its path.
func (d *disk) serve(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	server, err := fs.Mount(dir, &diskRoot{disk: d}, &fs.Options{MountOptions: fuse.MountOptions{
		DirectMountStrict: true, FsName: "disk", Name: "larkspurtest", MaxWrite: 1 << 20,
	}})
	if err != nil {
		cannot(t, "needs fuse: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
	return filepath.Join(dir, "disk")
}

// command runs a program that the tests need.
func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v %s", name, args, err, out)
	}
}

// cannot skips a test where its means are missing; in CI that is a failure.
func cannot(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
