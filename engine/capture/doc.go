// Package capture turns captured frames into DNS messages.
//
// Use it in three layers, each usable alone:
//
//	src, err := capture.Open(ctx, "office.pcap.gz") // or NewFile, OpenLive
//	r := capture.NewReader(src)
//	for {
//		m, err := r.Next(ctx)                    // io.EOF at the end
//		…
//	}
//
// A Source yields frames: capture files (pcap and pcapng of either byte order,
// bare or compressed with gzip or zstd) and live interfaces (AF_PACKET). A
// Decoder takes frames in and yields messages: it strips Ethernet, VLAN tags and
// IP, puts fragments and TCP streams back together, and reads the header and the
// first question of each message. A Reader joins the two. What a message says
// beyond its question is decoded only when asked for: Message.Answers and
// Message.EDNS without allocation, Message.Records, Message.Fields and
// Message.Decoded with. Lookups joins queries and responses; Compose and FromWire
// make messages of what came without a frame.
//
// A Scan reads a File at the speed of the wire: several workers, the messages that
// are wanted in the order of the file, no allocation for the others.
//
// Bytes come from strangers. Every table and every length is bounded by a named
// constant, nothing panics on bad input, and whatever is not turned into a message
// is counted under a Reason; no loss is silent.
//
// Checksums are not verified: a network card often fills them in after the packet
// was captured.
//
// Nothing here is safe for concurrent use, except Stats of a Source, a Decoder, a
// Reader and a Scan.
package capture
