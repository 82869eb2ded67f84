// Command traffic writes a capture of made-up DNS traffic to standard output, for
// benchmarks: equal flags give equal bytes. Counts go to standard error.
//
//	go run ./engine/capture/capturetest/traffic -packets 2000000 -watch netflix.com >dns.pcap
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"

	"larkspur/engine/capture/capturetest"
)

func main() {
	if err := write(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write() error {
	var o capturetest.TrafficOptions
	seed := flag.Uint64("seed", 1, "what the traffic is made of")
	flag.IntVar(&o.Packets, "packets", 0, "how many packets, at least")
	flag.IntVar(&o.Watch, "share", 0, "watched names in a million")
	flag.IntVar(&o.Other, "other", 0, "packets that are not DNS in a million; negative: none")
	flag.IntVar(&o.TCP, "tcp", 0, "lookups over TCP in a million; negative: none")
	flag.IntVar(&o.Large, "large", 0, "answers in fragments in a million; negative: none")
	flag.IntVar(&o.Broken, "broken", 0, "broken messages in a million")
	watch := flag.String("watch", "", "domains to be found, separated by commas")
	link := flag.Uint("link", capturetest.LinkEthernet, "link type, as a number")
	ng := flag.Bool("ng", false, "pcapng instead of pcap")
	micro := flag.Bool("micro", false, "microseconds instead of nanoseconds")
	flag.Parse()
	if *watch != "" {
		o.Watched = strings.Split(*watch, ",")
	}
	format := capturetest.Format{Link: uint16(*link), NG: *ng, Micro: *micro}
	truth, err := capturetest.NewTraffic(*seed, o).Write(os.Stdout, format, nil)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stderr).Encode(truth)
}
