// Command workerbin has the hidden commands of Larkspur that tests start without
// the race detector, and a self-test of the cell that is not in the product.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"larkspur/engine/sandbox"
	"larkspur/scripts/worker"
)

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func command(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("want %s or %s", sandbox.LaunchCommand, sandbox.WorkerCommand)
	}
	switch args[0] {
	case sandbox.LaunchCommand:
		return sandbox.Launch(args[1:])
	case sandbox.WorkerCommand:
		return worker.Main(worker.FD)
	case "cell":
		return cell()
	}
	return fmt.Errorf("unknown command %q", args[0])
}

// cell contains itself as a worker does, tries to get out, and prints what the
// kernel said to each try, as JSON on standard output.
func cell() error {
	contained, missing := worker.Contain()
	tries := map[string]func() error{
		"open":    func() error { _, err := os.Open("/etc/passwd"); return err },
		"create":  func() error { return os.WriteFile("/tmp/larkspur-escaped", nil, 0o600) },
		"stat":    func() error { return syscall.Stat("/etc/passwd", &syscall.Stat_t{}) },
		"socket":  func() error { _, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0); return err },
		"unix":    func() error { _, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0); return err },
		"connect": func() error { return syscall.Connect(1, &syscall.SockaddrInet4{Port: 53}) },
		"exec":    func() error { return syscall.Exec("/bin/true", []string{"true"}, nil) },
		"fork":    func() error { _, err := syscall.ForkExec("/bin/true", []string{"true"}, nil); return err },
		"kill":    func() error { return syscall.Kill(os.Getppid(), 0) },
		"tgkill":  func() error { return unix.Tgkill(os.Getppid(), os.Getppid(), 0) },
		"ptrace":  func() error { return syscall.PtraceAttach(os.Getppid()) },
		"prlimit": func() error { return syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}) },
		"mmap_exec": func() error {
			_, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_EXEC, syscall.MAP_ANON|syscall.MAP_PRIVATE)
			return err
		},
		"ioctl":   func() error { _, err := unix.IoctlGetInt(1, unix.TIOCINQ); return err },
		"recvmsg": func() error { _, _, _, _, err := syscall.Recvmsg(0, nil, nil, 0); return err },
		"unshare": func() error { return syscall.Unshare(syscall.CLONE_NEWUSER) },
	}
	said := map[string]string{}
	for name, try := range tries {
		said[name] = "escaped"
		if err := try(); err != nil {
			said[name] = err.Error()
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"contained": contained, "missing": missing, "tries": said})
}
