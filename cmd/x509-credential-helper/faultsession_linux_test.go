package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// TestCronBesideSession: cron has no XDG_RUNTIME_DIR and still finds the
// keyring of a session, so its locks have to be the session's too. Else a pass
// phrase that was refused in one is sent again by the other, and two refresh
// one RCauth session at a time.
func TestCronBesideSession(t *testing.T) {
	needRoot(t)
	t.Parallel()
	for _, order := range []string{"session, cron", "cron, session"} {
		t.Run(order, func(t *testing.T) {
			g := sandboxGrid(t, gridOptions{})
			config, err := os.ReadFile(g.path("config.toml"))
			if err != nil {
				t.Fatal(err)
			}
			text := strings.ReplaceAll(string(config), "runtime_dir = \""+g.path("run")+"\"\n", "")
			if err := os.WriteFile(g.path("config.toml"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			g.store("not the right one")
			users, err := os.MkdirTemp("/dev/shm", "x509ch-users-")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(users) })
			session := filepath.Join("/run/user", strconv.Itoa(os.Getuid()))
			if err := os.Mkdir(filepath.Join(users, filepath.Base(session)), 0o700); err != nil {
				t.Fatal(err)
			}
			before := g.connections()
			for i, who := range strings.Split(order, ", ") {
				env := slices.Concat(g.env, []string{"XDG_RUNTIME_DIR="})
				if who == "session" {
					env = slices.Concat(g.env, []string{"XDG_RUNTIME_DIR=" + session})
				}
				cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c",
					`bus=$1; shift; mount -t tmpfs none /run && mkdir /run/user /run/bus && mount --bind "$0" /run/user && mount --bind "$bus" /run/bus &&
					mount -t tmpfs none /dev/shm && mkdir -p "$bus" && mount --bind /run/bus "$bus" || exit 99; exec "$@"`,
					users, g.keyring.Runtime, g.program, "get")
				cmd.Env, cmd.Dir, cmd.Stdin = env, g.dir, strings.NewReader(`{}`)
				g.refusal(g.finish(cmd), helper.CodeAuthenticationFailed)
				if n := g.connections() - before; n != 1 {
					t.Errorf("after call %d, of %s: %d connections", i+1, who, n)
				}
			}
		})
	}
}
