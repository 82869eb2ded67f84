package table

import (
	"fmt"

	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/y"
)

// Larkspur: this file is not part of the published Badger.

// BlockError says that a block of a table is damaged.
type BlockError struct {
	Block    int
	From, To []byte // its first key, and the next block's or the table's last
	Err      error
}

func (e *BlockError) Error() string { return fmt.Sprintf("block %d: %v", e.Block, e.Err) }

// Intact reads every block and compares it with its checksum; the error is a
// *BlockError of the first that is damaged.
func (t *Table) Intact() error {
	for i := range t.offsetsLength() {
		if err := t.intactBlock(i); err != nil {
			var from, to fb.BlockOffset
			e := &BlockError{Block: i, To: t.Biggest(), Err: err}
			if t.offsets(&from, i) {
				e.From = y.Copy(from.KeyBytes())
			}
			if t.offsets(&to, i+1) {
				e.To = y.Copy(to.KeyBytes())
			}
			return e
		}
	}
	return nil
}

func (t *Table) intactBlock(i int) (err error) {
	defer func() {
		if r := recover(); r != nil { // lengths that cannot be
			err = fmt.Errorf("it cannot be decoded: %v", r)
		}
	}()
	b, err := t.block(i, false)
	if err != nil {
		return err
	}
	defer b.decrRef()
	return b.verifyCheckSum()
}
