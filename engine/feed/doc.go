// Package feed turns what other programs say of DNS into capture messages: the
// logs of passivedns, dnsmasq (and Pi-hole), Unbound, BIND and AdGuard Home, and
// dnstap over sockets or in files.
//
// Use Follow for a log that grows, Listen for dnstap clients, and Read for a file
// of any of these formats, which it recognises by content. Each yields messages
// as a capture.Reader does, by Next and Stats.
//
// A log says less than the wire: what it leaves out is empty in the message (a
// port or an id is 0, an address invalid), never guessed. Every line that gives no
// message is counted, by reason: Ignored are lines about other things, Undecodable
// those that break their format, Lost what was given up.
//
// Bytes come from strangers: lines, frames, tables and queues are bounded by named
// constants, and nothing panics on bad input.
package feed
