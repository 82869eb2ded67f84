package ledger

import "encoding/binary"

// Keys of the ledger. Each begins with its class and, in two bytes, the shard;
// numbers are big endian, so that order of keys is order of records. Classes
// below 0x20 belong to the ledger; state's are letters.
const (
	classMeta    = 0x01 // shard 0xffff: what was fixed when the ledger was made
	classFrame   = 0x02 // shard, first record → frame
	classPayload = 0x03 // shard, record → salt ‖ payload; an erasure empties, then drops it
	classErased  = 0x04 // shard, record → SHA256(salt ‖ payload) of an erased one ‖ remains in JSON
	classTile    = 0x05 // shard, level, index → 256 hashes; full tiles alone
	classHead    = 0x06 // shard → head
	classNote    = 0x07 // shard 0xffff → the newest signed checkpoint
)

const noShard = 0xffff

func key(class byte, shard uint16) []byte {
	return binary.BigEndian.AppendUint16([]byte{class}, shard)
}

func recordKey(class byte, shard uint16, record uint64) []byte {
	return binary.BigEndian.AppendUint64(key(class, shard), record)
}

func tileKey(shard uint16, level int, index uint64) []byte {
	return binary.BigEndian.AppendUint64(append(key(classTile, shard), byte(level)), index)
}
