package ledger_test

import (
	mrand "math/rand/v2"
	"testing"
	"time"
)

// Another program that takes all room at once, over and over, meets the flushes
// and compactions of a ledger at full speed. With Badger as published that ended
// the process (a SIGBUS in its table builder), or lost tables.
func TestDiskFilledAtOnce(t *testing.T) {
	onDisks(t, func(t *testing.T, dir string) {
		a := &acks{}
		c := startChild(t, dir, a)
		c.want("opened")
		c.send("write 8 4800")
		fills := 0
		for end := time.Now().Add(4 * time.Second); time.Now().Before(end) && len(a.list) < 20_000; fills++ {
			for range mrand.IntN(40) {
				c.want("ack")
			}
			remove(t, fill(t, dir, "filler", 0))
		}
		c.send("stop")
		c.want("stopped")
		c.check()
		c.close()
		t.Logf("filled %d times; %d records acknowledged", fills, len(a.list))
	})
}
