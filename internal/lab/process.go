package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// process is one process and no other: its number may be given to another one
// as soon as somebody has waited for it, and tests that start ten thousands of
// processes go once round all numbers.
type process struct {
	pid    int
	born   string      // when it was started, in the kernel's ticks
	handle *os.Process // holds a pidfd where there are some
}

// childProcess is a child for which nobody has waited yet.
func childProcess(p *os.Process) process {
	born, _ := stat(p.Pid)
	return process{pid: p.Pid, born: born, handle: p}
}

// otherProcess is a process that runs now.
func otherProcess(pid int) process {
	handle, err := os.FindProcess(pid)
	if err != nil {
		handle = nil
	}
	born, _ := stat(pid)
	return process{pid: pid, born: born, handle: handle}
}

// signal signals the process; one that is gone already is what we want.
func (p process) signal(sig os.Signal) {
	if p.handle != nil {
		_ = p.handle.Signal(sig)
	}
}

// running says whether the process runs. A zombie does not: what was a daemon
// is reaped by process 1, whenever that one likes.
func (p process) running() bool {
	born, runs := stat(p.pid)
	return runs && born == p.born
}

func (p process) gone(within time.Duration) bool {
	for deadline := time.Now().Add(within); p.running(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// stat reads when the process of that number was started, and whether it runs.
func stat(pid int) (born string, runs bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", false
	}
	text := string(data)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:]) // the name before it can hold anything
	if len(fields) < 20 {
		return "", false
	}
	return fields[19], fields[0] != "Z" && fields[0] != "X"
}

// alive says whether a process of that number runs, maybe another one by now.
func alive(pid int) bool {
	_, runs := stat(pid)
	return runs
}

// marked lists the processes whose environment holds id.
func marked(id string) []process {
	entries, _ := os.ReadDir("/proc")
	var found []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !hasMark(pid, id) {
			continue
		}
		// Looked at again now that it cannot become another one unnoticed.
		if p := otherProcess(pid); hasMark(pid, id) && p.running() {
			found = append(found, p)
		}
	}
	return found
}

func hasMark(pid int, id string) bool {
	env, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	return err == nil && slices.Contains(strings.Split(string(env), "\x00"), id)
}

func commandLine(pid int) string {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return "gone now"
	}
	return strings.ReplaceAll(strings.TrimRight(string(line), "\x00"), "\x00", " ")
}
