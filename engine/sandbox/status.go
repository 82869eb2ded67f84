package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// WorkerStatus is how one worker fares.
type WorkerStatus struct {
	PID         int      `json:"pid,omitempty"` // 0 while there is none
	Wanted      bool     `json:"wanted"`        // false: one is started when there is a crowd
	Interpreter string   `json:"interpreter,omitempty"`
	Contained   []string `json:"contained,omitempty"`
	Missing     []string `json:"missing,omitempty"`
	RSSBytes    int64    `json:"rss_bytes,omitempty"`
	Calls       int      `json:"calls"`  // open ones
	Deaths      int      `json:"deaths"` // since the pool was opened
	LastDeath   string   `json:"last_death,omitempty"`
	// Failure says why no worker could be started.
	Failure string `json:"failure,omitempty"`
}

// Status returns the state of every worker, in the order of their slots.
func (p *Pool) Status() []WorkerStatus {
	p.mu.Lock()
	list := make([]WorkerStatus, len(p.slots))
	workers := make([]*worker, len(p.slots))
	for i, s := range p.slots {
		list[i].Deaths, list[i].Wanted = s.deaths, s.wanted
		if s.last != nil {
			list[i].LastDeath = s.last.Error()
		}
		if s.failure != nil {
			list[i].Failure = s.failure.Error()
		}
		if workers[i] = s.worker; s.worker != nil {
			list[i].Calls = s.worker.open
		}
	}
	p.mu.Unlock()
	for i, w := range workers {
		if w != nil {
			w.describe(&list[i])
		}
	}
	return list
}

func (w *worker) describe(s *WorkerStatus) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.PID = w.cmd.Process.Pid
	s.Interpreter, s.Contained, s.Missing = w.ready.Interpreter, w.ready.Contained, w.ready.Missing
	s.RSSBytes = residentBytes(s.PID)
}

// Interpreter is the version of the interpreter that ready workers have, empty
// while there is none. It belongs into the records of runs: tick counts are
// compared under an equal one only.
func (p *Pool) Interpreter() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.slots {
		if s.worker != nil {
			s.worker.mu.Lock()
			defer s.worker.mu.Unlock()
			return s.worker.ready.Interpreter
		}
	}
	return ""
}

// Fields of proc(5), statm: pages that are resident, and those of data and stack.
const (
	statmResident = 1
	statmData     = 5
)

func residentBytes(pid int) int64 { return statm(pid, statmResident) }

// statm reads one field, in bytes. 0 when the process is gone.
func statm(pid, field int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text)
	if len(fields) <= field {
		return 0
	}
	pages, _ := strconv.ParseInt(string(fields[field]), 10, 64)
	return pages * int64(os.Getpagesize())
}
