package main

import (
	"fmt"
	"os"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptMatching writes the configuration with a profile for some URLs of
// se.example.org, which nobody will call, and with that kind of key.
func scriptMatching(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: matching [KEY]")
	}
	key := "rsa2048"
	if len(args) > 0 {
		key = args[0]
	}
	w := ts.Value(worldKey{}).(*world)
	text := fmt.Sprintf("%smatch = [\"root://se.example.org\", \"https://se.example.org\"]\nkey = %q\n\n[store]\nruntime_dir = %q\n%s",
		w.server.Config("lab", jane), key, w.path("run"), inMemory)
	ts.Check(os.WriteFile(w.path("config.toml"), []byte(text), 0o600))
}
