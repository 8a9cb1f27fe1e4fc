package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// Traced is what became of a program that ran under Kill.
type Traced struct {
	// Call is the system call before which the program was killed, with the
	// file that it was about; "" if it ended by itself first.
	Call           string
	Stdout, Stderr string
	Status         int
}

// Kill runs a command under ptrace(2) and kills it with SIGKILL right before
// its nth system call, from 1 on, that changes something outside of it: makes,
// writes, renames or removes a file, locks, or sends on a local socket. Called
// with 1, 2 and so on until Call is empty it stops the command at every step.
// Counted are the calls of all threads together, which strace cannot do.
func Kill(t TB, cmd *exec.Cmd, n int) Traced {
	t.Helper()
	var out [2]*os.File
	for i := range out {
		f, err := os.CreateTemp("", "x509ch-traced-")
		if err != nil {
			t.Fatalf("%v", err)
		}
		defer os.Remove(f.Name())
		defer f.Close()
		out[i] = f
	}
	cmd.Stdout, cmd.Stderr = out[0], out[1]
	k := &killer{n: n}
	err := <-safego.Go(func() error {
		// The kernel knows a tracer by its thread. It is never given back, so
		// that it ends with this goroutine.
		runtime.LockOSThread()
		return k.run(cmd)
	})
	if err != nil {
		t.Fatalf("ptrace: %v (X509CH_LAB=require needs a machine that lets a process trace its child)", err)
	}
	result := Traced{Call: k.call, Status: k.status.ExitStatus()}
	for i, text := range []*string{&result.Stdout, &result.Stderr} {
		data, err := os.ReadFile(out[i].Name())
		if err != nil {
			t.Fatalf("%v", err)
		}
		*text = string(data)
	}
	return result
}

type killer struct {
	n, count int
	call     string
	status   syscall.WaitStatus
}

func (k *killer) run(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	pid := cmd.Process.Pid
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &ws, 0, nil); err != nil {
		return err
	}
	const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL
	if err := syscall.PtraceSetOptions(pid, options); err != nil {
		return err
	}
	err := k.follow(pid)
	// The process was reaped here; this lets go of the pipe of its input.
	if werr := cmd.Wait(); err == nil && !errors.Is(werr, syscall.ECHILD) && werr != nil {
		err = werr
	}
	return err
}

// follow lets the process go on from call to call until it is gone.
func (k *killer) follow(pid int) error {
	tid, signal := pid, 0
	for {
		// A thread that was killed meanwhile cannot go on: ESRCH.
		if err := syscall.PtraceSyscall(tid, signal); err != nil && err != syscall.ESRCH {
			return fmt.Errorf("go on: %w", err)
		}
		var ws syscall.WaitStatus
		var err error
		// Only those of its process group: the test has other children, and this
		// thread may have started some of them for other goroutines.
		tid, err = syscall.Wait4(-pid, &ws, unix.WALL|unix.WNOTHREAD, nil)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return fmt.Errorf("wait: %w", err)
		case tid == pid && (ws.Exited() || ws.Signaled()):
			k.status = ws
			return nil
		}
		signal = k.stopped(pid, tid, ws)
	}
}

// stopped judges a stop, kills at the right one, and returns the signal that
// the thread is to get.
func (k *killer) stopped(pid, tid int, ws syscall.WaitStatus) int {
	switch {
	case !ws.Stopped():
		return 0
	case ws.StopSignal() == syscall.SIGTRAP|0x80:
		if call := changing(pid, tid); call != "" && k.call == "" {
			if k.count++; k.count == k.n {
				k.call = call
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		return 0
	case ws.StopSignal() == syscall.SIGTRAP, ws.StopSignal() == syscall.SIGSTOP: // a new thread
		return 0
	}
	return int(ws.StopSignal())
}

// syscallInfo is struct ptrace_syscall_info of linux/ptrace.h at the entry of a
// call; it is the same for every processor.
type syscallInfo struct {
	op     uint8
	_      [3]uint8
	_      uint32
	_      [2]uint64
	number uint64
	args   [6]uint64
	_      [2]uint64
}

// changing names the system call that a thread is about to make, if it is one
// that counts.
func changing(pid, tid int) string {
	const get, entry = 0x420e, 1
	var info syscallInfo
	_, _, errno := syscall.Syscall6(syscall.SYS_PTRACE, get, uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 || info.op != entry {
		return ""
	}
	name, ok := changes[info.number]
	switch {
	case !ok:
		return ""
	case name == "openat":
		if info.args[2]&(unix.O_CREAT|unix.O_TRUNC) == 0 {
			return ""
		}
		return name
	case name == "mkdirat", name == "unlinkat", name == "renameat":
		return name
	}
	file, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, info.args[0]))
	if err != nil || strings.HasPrefix(file, "pipe:") || strings.HasPrefix(file, "anon_inode:") || strings.HasPrefix(file, "/dev/") {
		return ""
	}
	if strings.HasPrefix(file, "socket:") {
		file = "a socket"
	}
	return name + " " + file
}

// changes are the system calls that count.
var changes = map[uint64]string{
	unix.SYS_OPENAT: "openat", unix.SYS_WRITE: "write", unix.SYS_PWRITE64: "pwrite64", unix.SYS_SENDMSG: "sendmsg",
	unix.SYS_SENDTO: "sendto", unix.SYS_FSYNC: "fsync", unix.SYS_FTRUNCATE: "ftruncate", unix.SYS_FCHMOD: "fchmod",
	unix.SYS_FLOCK: "flock", unix.SYS_RENAMEAT: "renameat", unix.SYS_RENAMEAT2: "renameat", unix.SYS_MKDIRAT: "mkdirat",
	unix.SYS_UNLINKAT: "unlinkat",
}
