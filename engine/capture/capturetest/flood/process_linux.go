package flood

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"larkspur/engine/capture/capturetest"
)

// asSender names the interface in the environment of a process that is a sender.
const asSender = "LARKSPUR_FLOOD"

// served is the traffic that a process sends, again and again: lookups at port 53,
// over UDP and TCP, whole and in fragments, which every peer's filter lets through.
func served() capturetest.TrafficOptions {
	return capturetest.TrafficOptions{Packets: 60_000, Other: -1, Multicast: -1, Tagged: -1}
}

// Serve makes this process a sender until its standard input ends, and exits; or
// returns at once, where it was not started by Start.
func Serve() {
	device := os.Getenv(asSender)
	if device == "" {
		return
	}
	if err := serve(device); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(device string) error {
	s, err := Open(device, Frames(served()))
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for orders := bufio.NewScanner(os.Stdin); orders.Scan(); {
		var rate, n int
		if _, err := fmt.Sscan(orders.Text(), &rate, &n); err != nil {
			return err
		}
		sent, took, err := s.Send(context.Background(), rate, n)
		if err != nil {
			return err
		}
		fmt.Println(sent, took.Nanoseconds())
	}
	return nil
}

// Process is a sender in a process of its own.
type Process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// Start runs this program again as a sender, in the thread's network namespace.
func Start(device string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env, cmd.Stderr = append(os.Environ(), asSender+"="+device), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd, in, bufio.NewScanner(out)}
	if line, err := p.line(); err != nil || line != "ready" {
		return nil, fmt.Errorf("the sender said %q, %v", line, err)
	}
	return p, nil
}

func (p *Process) line() (string, error) {
	if !p.out.Scan() {
		return "", fmt.Errorf("the sender ended: %v", p.out.Err())
	}
	return strings.TrimSpace(p.out.Text()), nil
}

// Send is that of Sender.
func (p *Process) Send(rate, n int) (sent int, took time.Duration, err error) {
	if _, err := fmt.Fprintln(p.in, rate, n); err != nil {
		return 0, 0, err
	}
	line, err := p.line()
	if err == nil {
		_, err = fmt.Sscan(line, &sent, (*int64)(&took))
	}
	return sent, took, err
}

// Close ends the process.
func (p *Process) Close() error {
	p.in.Close()
	return p.cmd.Wait()
}
