// Storybin serves a workspace as `larkspur serve` does, for the tests of package
// story: it tells on its standard output of every commit, and kills itself right
// after one of them. It listens on descriptor 3; a byte on its standard input plays
// the capture file.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"

	"larkspur/appliance"
	"larkspur/appliance/command"
	"larkspur/appliance/story"
	"larkspur/engine/capture"
	"larkspur/engine/state"
)

// webDescriptor is where the listener of the page lies.
const webDescriptor = 3

func main() {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "worker") {
		os.Exit(command.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	dir := flag.String("dir", "", "the workspace")
	at := flag.Int("kill", 0, "die right after this commit; 0 is never")
	kind := flag.String("after", "", "die right after the first commit with a record of this kind")
	file := flag.String("tape", "", "a capture to play")
	flag.Parse()
	if err := serve(*dir, *file, &teller{at: *at, kind: *kind}); err != nil {
		log.Fatal(err)
	}
}

func serve(dir, file string, tell *teller) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	page, err := net.FileListener(os.NewFile(webDescriptor, "page"))
	if err != nil {
		return err
	}
	played := make(chan struct{})
	go func() {
		if n, _ := os.Stdin.Read(make([]byte, 1)); n > 0 {
			close(played)
		}
	}()
	a, err := appliance.Open(appliance.Config{
		Dir: dir, Listener: page, Out: os.Stderr, Watch: tell.watch,
		Sources: map[string]capture.Source{"tape": &story.Tape{Path: file, Played: played}},
	})
	if err != nil {
		return err
	}
	err = a.Run(ctx)
	if closed := a.Close(); err == nil {
		err = closed
	}
	return err
}

// teller tells of commits, and ends the process after one of them as a power
// cut would: nothing that was about to happen happens.
type teller struct {
	at   int
	kind string

	mu   sync.Mutex // guards seen
	seen int
}

func (t *teller) watch(notices []state.Notice) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen++
	kinds := make([]string, len(notices))
	for i, n := range notices {
		kinds[i] = n.Kind.String()
	}
	fmt.Println(strings.Join(kinds, " "))
	if t.seen == t.at || slices.Contains(kinds, t.kind) {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // no further than this
	}
}
