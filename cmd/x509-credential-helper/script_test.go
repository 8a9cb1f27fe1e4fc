package main

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// worldKey finds a script's world.
type worldKey struct{}

// TestScripts runs testdata/script: what people type and what they see. Each
// script has a world of its own, with the profile "lab" and the file phrase,
// which holds jane's pass phrase. UPDATE_GOLDEN=1 writes the expected output
// anew.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: os.Getenv("UPDATE_GOLDEN") != "",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"connections": scriptConnections, "exits": scriptExits, "matching": scriptMatching, "onejson": scriptOneJSON,
			"proxies": scriptProxies, "schema": scriptSchema, "store": scriptStore,
		},
		Setup: func(e *testscript.Env) error {
			w := &world{t: t, dir: e.WorkDir}
			w.server = startSandbox(t, w.path("sandbox"))
			w.configure(inMemory)
			e.Values[worldKey{}] = w
			e.Defer(w.server.Close)
			e.Setenv(kernelVar, kernelName(t))
			e.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus") // not that of whoever runs this
			e.Setenv("LANG", "C.UTF-8")
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("X509_CREDENTIAL_HELPER_CONFIG", w.path("config.toml"))
			return errors.Join(os.Chmod(e.WorkDir, 0o700),
				os.WriteFile(w.path("phrase"), []byte(passphrase+"\n"), 0o600),
				os.WriteFile(w.path("wrong"), []byte("wrong\n"), 0o600))
		},
	})
}

// scriptConnections checks how many connections the server has seen.
func scriptConnections(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: connections NUMBER")
	}
	if got := strconv.Itoa(ts.Value(worldKey{}).(*world).server.Connections()); got != args[0] {
		ts.Fatalf("%s connections were made, expected %s", got, args[0])
	}
}

// scriptExits runs a command and checks its exit status.
func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS PROGRAM [ARGUMENT]...")
	}
	status := 0
	var exit *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		status = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(status) != args[0] {
		ts.Fatalf("exit status %d, expected %s", status, args[0])
	}
}

// scriptOneJSON checks that the last standard output was one JSON object of the
// protocol, and its error code if one is given; "ok" is a result.
func scriptOneJSON(ts *testscript.TestScript, neg bool, args []string) {
	a, err := oneObject(ts.ReadFile("stdout"))
	if err != nil || neg {
		ts.Fatalf("standard output is not one JSON object: %v", err)
	}
	code := "ok"
	if a.Error != nil {
		code = a.Error.Code
	}
	if len(args) > 0 && code != args[0] {
		ts.Fatalf("the answer is %q, expected %q", code, args[0])
	}
}

// scriptStore writes the configuration anew, with this table [store].
func scriptStore(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: store [LINE]...")
	}
	ts.Value(worldKey{}).(*world).configure(strings.Join(args, "\n") + "\n")
}
