package shop

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// maxConns bounds who is signed in at once.
const maxConns = 16

// accept lets clients in until the listener is closed, and waits for them to go.
func (s *Shop) accept() error {
	var clients sync.WaitGroup
	defer clients.Wait()
	for {
		conn, err := s.ssh.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		if !s.enter(conn) {
			conn.Close()
			continue
		}
		clients.Go(func() {
			defer s.leave(conn)
			s.client(conn)
		})
	}
}

func (s *Shop) enter(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= maxConns {
		return false
	}
	s.conns[conn] = true
	return true
}

func (s *Shop) leave(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
	conn.Close()
}

// hangUp cuts every connection, as a machine that goes down does.
func (s *Shop) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		conn.Close()
	}
}

// client serves one connection to its end.
func (s *Shop) client(conn net.Conn) {
	c, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return // it has no key of this host
	}
	defer c.Close()
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { ssh.DiscardRequests(requests) })
	for n := range channels {
		if n.ChannelType() != "session" {
			n.Reject(ssh.UnknownChannelType, "sessions only")
			continue
		}
		channel, wishes, err := n.Accept()
		if err != nil {
			return
		}
		work.Go(func() { s.session(channel, wishes) })
	}
}

// session does one command.
func (s *Shop) session(channel ssh.Channel, wishes <-chan *ssh.Request) {
	defer channel.Close()
	for w := range wishes {
		var exec struct{ Command string }
		if w.Type != "exec" || ssh.Unmarshal(w.Payload, &exec) != nil {
			w.Reply(false, nil)
			continue
		}
		w.Reply(true, nil)
		out, status, goesDown := s.do(exec.Command)
		if goesDown {
			s.hangUp()
			return
		}
		fmt.Fprint(channel, out)
		channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
		return
	}
}

// words takes a command apart, quoted or not; what it knows has no quotes within.
func words(command string) []string {
	return strings.Fields(strings.ReplaceAll(command, "'", ""))
}

// do answers a command.
func (s *Shop) do(command string) (out string, status uint32, goesDown bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := words(command)
	told := Command{At: s.clock.Now(), Text: strings.Join(w, " ")}
	switch text := told.Text; {
	case text == "cat /proc/sys/kernel/random/boot_id":
		return fmt.Sprintf("%08x-0000-4000-8000-000000000000\n", s.booted), 0, false // Larkspur's own question
	case strings.HasPrefix(text, "journalctl"):
		out = strings.Join(s.log[max(0, len(s.log)-20):], "\n") + "\n"
		told.Answer = "20 lines"
	case strings.HasPrefix(text, "sudo systemctl restart "):
		if told.Answer = "restarted"; s.trouble == wedged {
			told.Answer = "restarted; it still hangs"
		} else {
			s.trouble = healthy
		}
		s.note("systemd[1]: Started nginx.service")
	case text == "sudo systemctl reboot":
		told.Answer, goesDown = "rebooted", true
		s.trouble = healthy
		s.booted++
		s.note("kernel: Linux version 6.12 (simulated)")
	default:
		told.Answer, out, status = "not known here", "command not found\n", 127
	}
	s.commands = append(s.commands, told)
	s.commands = s.commands[max(0, len(s.commands)-maxCommands):]
	return out, status, goesDown
}
