package lab

import "syscall"

// There are no servers here to send these to: Require skips.
const (
	sigTerm = syscall.SIGTERM
	sigKill = syscall.SIGKILL
	sigStop = syscall.SIGKILL
	sigCont = syscall.SIGKILL
)
