//go:build unix

package main

import (
	"os"
	"syscall"
)

// endSignals ask a process to end in an orderly way.
var endSignals = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}
