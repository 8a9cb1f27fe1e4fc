package cache

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// TestMain lets the test binary be the other processes of the tests.
func TestMain(m *testing.M) {
	children := map[string]func() error{"hold": childHold, "put": childPut, "ring": childRing, "kernel": childKernel, "service": childService, "stress": childStress}
	what := os.Getenv("CACHE_CHILD")
	if what == "" {
		os.Exit(m.Run())
	}
	if err := children[what](); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child is this binary as another process, with env on top of ours.
func child(t testing.TB, what string, env ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command(exe)
	// The race detector would wait a second at the exit of each child.
	cmd.Env = append(append(os.Environ(), "CACHE_CHILD="+what, "GORACE=atexit_sleep_ms=0"), env...)
	return cmd
}
