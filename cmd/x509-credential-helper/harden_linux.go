package main

import "golang.org/x/sys/unix"

// limits are what harden changed and a tool gets back.
type limits struct {
	core    unix.Rlimit
	changed bool
}

// harden keeps pass phrases and keys out of core dumps and away from debuggers
// of the same user (prctl(2), PR_SET_DUMPABLE; execve undoes it). It is the
// second line of defence: where the kernel refuses, we go on without it.
func harden() limits {
	var l limits
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	if unix.Getrlimit(unix.RLIMIT_CORE, &l.core) != nil {
		return l
	}
	// Only the soft limit: the hard one could not be raised again.
	none := unix.Rlimit{Cur: 0, Max: l.core.Max}
	l.changed = unix.Setrlimit(unix.RLIMIT_CORE, &none) == nil
	return l
}

// restore gives a tool the limits that we were started with. Go restores the
// number of open files itself, in syscall.Exec.
func (l limits) restore() {
	if l.changed {
		_ = unix.Setrlimit(unix.RLIMIT_CORE, &l.core)
	}
}
