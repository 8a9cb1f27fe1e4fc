//go:build !unix

package main

import "os"

// endSignals ask a process to end in an orderly way.
var endSignals = []os.Signal{os.Interrupt}
