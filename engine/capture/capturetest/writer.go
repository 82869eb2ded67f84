// Package capturetest makes captures: frames from the bottom up, DNS messages, and
// the pcap and pcapng files that hold them. What it writes depends on nothing but
// its arguments, so a demonstration and a test get the same bytes every time.
//
// Use Traffic for much that looks like the real thing, with its truth beside it;
// Writer with Lookup for whole DNS exchanges; Ethernet, IP, UDP, Segment and
// Fragments for frames of one's own making.
package capturetest

import (
	"encoding/binary"
	"io"
	"time"
)

// Format is the format of a capture file.
type Format struct {
	Order binary.AppendByteOrder // nil: little endian
	NG    bool                   // pcapng instead of pcap
	Micro bool                   // microseconds instead of nanoseconds
	Link  uint16                 // link type
	Snap  int                    // bytes kept of a frame; 0: all
}

// LinkEthernet is the link type of Ethernet.
const LinkEthernet = 1

// Writer writes frames to a capture file.
type Writer struct {
	w      io.Writer
	format Format
	record []byte // the latest, for its memory
	err    error
}

// NewWriter begins a pcap file of Ethernet frames with times in nanoseconds.
func NewWriter(w io.Writer) *Writer { return NewFormatWriter(w, Format{Link: LinkEthernet}) }

// NewFormatWriter begins a capture file of a given format.
func NewFormatWriter(w io.Writer, format Format) *Writer {
	if format.Order == nil {
		format.Order = binary.LittleEndian
	}
	c := &Writer{w: w, format: format}
	if format.NG {
		c.write(c.sectionHeader())
		c.write(c.interfaceBlock())
	} else {
		c.write(c.fileHeader())
	}
	return c
}

// Err returns the first error of writing.
func (c *Writer) Err() error { return c.err }

func (c *Writer) write(data []byte) {
	if c.err == nil {
		_, c.err = c.w.Write(data)
	}
}

// Frame writes a frame.
func (c *Writer) Frame(t time.Time, frame []byte) {
	kept := frame
	if c.format.Snap > 0 && len(kept) > c.format.Snap {
		kept = kept[:c.format.Snap]
	}
	if c.format.NG {
		c.write(c.packetBlock(t, kept, len(frame)))
		return
	}
	order, fraction := c.format.Order, t.Nanosecond()
	if c.format.Micro {
		fraction /= 1000
	}
	r := order.AppendUint32(c.record[:0], uint32(t.Unix()))
	r = order.AppendUint32(r, uint32(fraction))
	r = order.AppendUint32(r, uint32(len(kept)))
	r = order.AppendUint32(r, uint32(len(frame)))
	c.record = append(r, kept...)
	c.write(c.record)
}

func (c *Writer) fileHeader() []byte {
	magic := uint32(0xa1b23c4d)
	if c.format.Micro {
		magic = 0xa1b2c3d4
	}
	order := c.format.Order
	head := order.AppendUint32(nil, magic)
	head = order.AppendUint16(head, 2)
	head = order.AppendUint16(head, 4)
	head = append(head, make([]byte, 8)...)
	head = order.AppendUint32(head, c.snapLength())
	return order.AppendUint32(head, uint32(c.format.Link))
}

func (c *Writer) snapLength() uint32 {
	if c.format.Snap > 0 {
		return uint32(c.format.Snap)
	}
	return 262144
}

// Block writes a pcapng block of any kind.
func (c *Writer) Block(kind uint32, body []byte) { c.write(c.block(kind, body)) }

func (c *Writer) block(kind uint32, body []byte) []byte {
	order, padding := c.format.Order, -len(body)&3
	length := uint32(12 + len(body) + padding)
	b := order.AppendUint32(nil, kind)
	b = order.AppendUint32(b, length)
	b = append(append(b, body...), make([]byte, padding)...)
	return order.AppendUint32(b, length)
}

func (c *Writer) sectionHeader() []byte {
	order := c.format.Order
	body := order.AppendUint32(nil, 0x1a2b3c4d)
	body = order.AppendUint16(body, 1)
	body = order.AppendUint16(body, 0)
	return c.block(0x0a0d0d0a, order.AppendUint64(body, ^uint64(0)))
}

func (c *Writer) interfaceBlock() []byte {
	order := c.format.Order
	body := order.AppendUint16(nil, c.format.Link)
	body = order.AppendUint16(body, 0)
	body = order.AppendUint32(body, c.snapLength())
	if !c.format.Micro { // the default
		body = order.AppendUint16(body, 9)
		body = order.AppendUint16(body, 1)
		body = append(body, 9, 0, 0, 0)
		body = append(body, 0, 0, 0, 0)
	}
	return c.block(1, body)
}

func (c *Writer) packetBlock(t time.Time, kept []byte, length int) []byte {
	order, stamp := c.format.Order, uint64(t.UnixNano())
	if c.format.Micro {
		stamp /= 1000
	}
	body := order.AppendUint32(nil, 0)
	body = order.AppendUint32(body, uint32(stamp>>32))
	body = order.AppendUint32(body, uint32(stamp))
	body = order.AppendUint32(body, uint32(len(kept)))
	body = order.AppendUint32(body, uint32(length))
	return c.block(6, append(body, kept...))
}
