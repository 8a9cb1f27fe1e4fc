package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// unitLine returns the value of a key of a systemd unit for an instance, with
// its specifiers replaced.
func unitLine(t *testing.T, unit, key, home, instance string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "packaging", "systemd", unit))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), key+"="); ok {
			return strings.NewReplacer("%h", home, "%i", instance).Replace(value)
		}
	}
	t.Fatalf("%s has no %s", unit, key)
	return ""
}

// TestUnits: what the units for systemd start is what this program understands,
// where the README installs it.
func TestUnits(t *testing.T) {
	w := newWorld(t, inMemory)
	if err := os.MkdirAll(w.path(".local/bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(w.program, w.path(".local/bin/"+name)); err != nil {
		t.Fatal(err)
	}
	start := func(unit string) (*call, func() string) {
		cmd := w.command()
		cmd.Args = strings.Fields(unitLine(t, unit, "ExecStart", w.dir, "lab"))
		cmd.Path = cmd.Args[0]
		path := unitLine(t, unit, "Environment", w.dir, "lab")
		cmd.Env = append(slices.DeleteFunc(slices.Clone(w.env), func(kv string) bool { return strings.HasPrefix(kv, "PATH=") }), path)
		return w.startSaying(cmd)
	}
	c, _ := start("x509-credential-helper@.service")
	if r := c.wait(); r.status == 0 {
		t.Error("without a proxy systemd is not told that it failed")
	}
	w.login()
	c, said := start("x509-credential-helper-once@.service")
	if r := c.wait(); r.status != 0 || r.stdout != "" || said() != "" {
		t.Errorf("once: %+v %s", r, said())
	}
	if err := os.RemoveAll(w.path("run/proxy")); err != nil {
		t.Fatal(err)
	}
	c, said = start("x509-credential-helper@.service")
	w.waitFor("its first proxy", func() bool { return strings.Contains(said(), ": keeping ") })
	if files, err := filepath.Glob(w.path("run/proxy/lab-*.pem")); err != nil || len(files) != 1 {
		t.Errorf("proxies: %q, %v", files, err)
	}
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if r := c.wait(); r.status != 0 {
		t.Errorf("stopped: %+v %s", r, said())
	}
	timer := unitLine(t, "x509-credential-helper-once@.timer", "RandomizedDelaySec", "", "")
	if timer == "0" || timer == "" {
		t.Error("machines that start together ask together")
	}
}

// TestSlurmHooksNeverFail: a prolog or an epilog that does puts the node into
// DRAIN, and a shell ends where "exec" or ":" cannot open a file, as in a full
// /run. A directory in the file's place cannot be opened by root either.
func TestSlurmHooksNeverFail(t *testing.T) {
	const uid, job = "4000000001", "7" // nobody's
	for _, hook := range []string{"prolog.sh", "epilog.sh"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "packaging", "slurm", hook))
		if err != nil {
			t.Fatal(err)
		}
		for _, blocked := range []string{"lock", uid + "/" + job, "nothing"} {
			jobs := filepath.Join(t.TempDir(), "jobs")
			script := strings.Replace(string(text), "jobs=/run/x509-credential-helper-jobs", "jobs="+jobs, 1)
			if err := os.MkdirAll(filepath.Join(jobs, blocked), 0o700); err != nil || !strings.Contains(script, jobs) {
				t.Fatalf("%s: %v", hook, err)
			}
			cmd := exec.Command("sh", "-c", script)
			cmd.Env = []string{"PATH=/usr/bin:/bin", "SLURM_JOB_UID=" + uid, "SLURM_JOB_ID=" + job}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s with %s in the way: %v: %s", hook, blocked, err, out)
			}
		}
	}
}
