package capture

import (
	"encoding/binary"
	"os"
	"testing"
	"time"
	"unsafe"

	"larkspur/engine/capture/capturetest"

	"golang.org/x/sys/unix"
)

// TestRingLayout holds our offsets against those of the kernel's structures.
func TestRingLayout(t *testing.T) {
	var (
		desc   unix.TpacketBlockDesc
		head   unix.TpacketHdrV1
		packet unix.Tpacket3Hdr
	)
	inBlock := unsafe.Offsetof(desc.Hdr)
	for name, pair := range map[string][2]uintptr{
		"status":   {blockStatus, inBlock + unsafe.Offsetof(head.Block_status)},
		"packets":  {blockPackets, inBlock + unsafe.Offsetof(head.Num_pkts)},
		"first":    {blockFirst, inBlock + unsafe.Offsetof(head.Offset_to_first_pkt)},
		"header":   {blockHeader, unsafe.Sizeof(desc)},
		"next":     {packetNext, unsafe.Offsetof(packet.Next_offset)},
		"seconds":  {packetSec, unsafe.Offsetof(packet.Sec)},
		"nsec":     {packetNsec, unsafe.Offsetof(packet.Nsec)},
		"snaplen":  {packetSnaplen, unsafe.Offsetof(packet.Snaplen)},
		"length":   {packetLength, unsafe.Offsetof(packet.Len)},
		"flags":    {packetStatus, unsafe.Offsetof(packet.Status)},
		"mac":      {packetMAC, unsafe.Offsetof(packet.Mac)},
		"tci":      {packetTCI, unsafe.Offsetof(packet.Hv1) + unsafe.Offsetof(packet.Hv1.Vlan_tci)},
		"packet":   {packetHeader, unsafe.Sizeof(packet)},
		"vlan bit": {statusVLANValid, unix.TP_STATUS_VLAN_VALID},
		"outgoing": {packetOutgoing, unix.PACKET_OUTGOING},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: got %d, want %d", name, pair[0], pair[1])
		}
	}
}

func TestRingSizes(t *testing.T) {
	for _, test := range []struct{ asked, block, blocks int }{
		{0, 256 << 10, 128},
		{1, 128 << 10, 8},
		{8 << 20, 128 << 10, 64},
		{8_000_000, 128 << 10, 61},
		{100 << 20, 512 << 10, 200},
		{1 << 40, 1 << 20, 1024},
	} {
		r := ringRequest(test.asked)
		if int(r.Block_size) != test.block || int(r.Block_nr) != test.blocks || r.Block_size%uint32(os.Getpagesize()) != 0 || r.Frame_nr != r.Block_size/r.Frame_size*r.Block_nr {
			t.Errorf("%d bytes: got %+v, want %d blocks of %d", test.asked, r, test.blocks, test.block)
		}
	}
}

// ringBlock writes a block as the kernel does.
func ringBlock(size int, frames ...[]byte) []byte {
	data := make([]byte, size)
	binary.NativeEndian.PutUint32(data[blockPackets:], uint32(len(frames)))
	binary.NativeEndian.PutUint32(data[blockFirst:], blockHeader)
	at := blockHeader
	for i, frame := range frames {
		const begin = packetHeader + 20 + 14 // the address of the sender lies between
		h := data[at:]
		room := (begin + len(frame) + 15) &^ 15
		if i < len(frames)-1 {
			binary.NativeEndian.PutUint32(h[packetNext:], uint32(room))
		}
		binary.NativeEndian.PutUint32(h[packetSec:], 1_800_000_000)
		binary.NativeEndian.PutUint32(h[packetNsec:], uint32(i))
		binary.NativeEndian.PutUint32(h[packetSnaplen:], uint32(len(frame)))
		binary.NativeEndian.PutUint32(h[packetLength:], uint32(len(frame)))
		binary.NativeEndian.PutUint16(h[packetMAC:], begin)
		copy(h[begin:], frame)
		at += room
	}
	return data
}

func TestRingBlock(t *testing.T) {
	frames := [][]byte{lookup(1).QueryFrame(), lookup(2).QueryFrame(), lookup(3).QueryFrame()}
	whole := ringBlock(minBlock, frames...)
	second := blockHeader + int(binary.NativeEndian.Uint32(whole[blockHeader+packetNext:]))
	put := func(at int, value uint32) []byte {
		data := append([]byte(nil), whole...)
		binary.NativeEndian.PutUint32(data[at:], value)
		return data
	}
	for name, test := range map[string]struct {
		data           []byte
		frames, broken uint64
	}{
		"whole":                {whole, 3, 0},
		"empty":                {put(blockPackets, 0), 0, 0},
		"first outside":        {put(blockFirst, minBlock-packetHeader+1), 0, 3},
		"first in the header":  {put(blockFirst, 0), 0, 3},
		"next outside":         {put(blockHeader+packetNext, 1<<31), 1, 2},
		"next is itself":       {put(blockHeader+packetNext, 0), 1, 2},
		"longer than block":    {put(second+packetSnaplen, minBlock), 1, 2},
		"longest":              {put(second+packetSnaplen, 1<<32-1), 1, 2},
		"bytes in the header":  {put(second+packetMAC, 0), 1, 2},
		"more than are there":  {put(blockPackets, 4), 3, 1},
		"more than could be":   {put(blockPackets, 1<<32-1), 3, minBlock/packetHeader - 3},
		"VLAN tag taken off":   {put(second+packetStatus, unix.TP_STATUS_VLAN_VALID), 3, 0},
		"cut by the capturing": {put(second+packetLength, 9000), 3, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := block{link: LinkEthernet}
			b.begin(test.data)
			var f Frame
			for b.next(&f) {
				if f.Link != LinkEthernet || f.Length < len(f.Data) || f.Time.Before(time.Unix(1_800_000_000, 0)) {
					t.Errorf("got %+v", f)
				}
			}
			var counts sourceCounts
			b.count(&counts)
			if s := counts.snapshot(); s.Frames != test.frames || s.RingBroken != test.broken {
				t.Errorf("got %+v, want %d frames and %d broken", s, test.frames, test.broken)
			}
		})
	}
}

// FuzzRingBlock reads blocks as no kernel writes them: never beyond their end, and
// what comes out goes through a Decoder.
func FuzzRingBlock(f *testing.F) {
	f.Add(ringBlock(4096, lookup(1).QueryFrame(), lookup(2).ResponseFrame()))
	f.Add(ringBlock(4096, capturetest.Ethernet(client, server, []uint16{100, 7}, ip6Query(1))))
	f.Add(make([]byte, blockHeader))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < blockHeader {
			return
		}
		b := block{link: LinkEthernet}
		b.begin(data)
		d := NewDecoder()
		var frame Frame
		for b.next(&frame) {
			d.Decode(&frame)
			for d.Next() != nil {
			}
		}
		if b.frames > len(data)/packetHeader || b.broken < 0 {
			t.Errorf("got %d frames and %d broken of %d bytes", b.frames, b.broken, len(data))
		}
	})
}

// BenchmarkRingBlock is what a frame costs from a block to the Decoder's door.
func BenchmarkRingBlock(bench *testing.B) {
	frames := make([][]byte, 5000)
	for i := range frames {
		frames[i] = lookup(i).QueryFrame()
	}
	data := ringBlock(maxBlock, frames...)
	b := block{link: LinkEthernet}
	var f Frame
	bench.ReportAllocs()
	for bench.Loop() {
		b.begin(data)
		for b.next(&f) {
		}
	}
	bench.ReportMetric(float64(bench.Elapsed().Nanoseconds())/float64(bench.N*len(frames)), "ns/frame")
}
