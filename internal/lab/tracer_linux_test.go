package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestKill: a program is stopped before each step, and nothing after it happens.

func TestKill(t *testing.T) {
	dir := t.TempDir()
	script := `read x; mkdir a; echo $x >b; mv b c; echo done`
	var calls []string
	for n := 1; ; n++ {
		for _, name := range []string{"a", "b", "c"} {
			_ = os.RemoveAll(filepath.Join(dir, name))
		}
		cmd := exec.Command("sh", "-c", script)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader("hello\n")
		r := Kill(t, cmd, n)
		data, err := os.ReadFile(filepath.Join(dir, "c"))
		if r.Call == "" {
			if r.Status != 0 || r.Stdout != "done\n" || string(data) != "hello\n" {
				t.Errorf("undisturbed: %+v, %q, %v", r, data, err)
			}
			break
		}
		if r.Stdout != "" {
			t.Errorf("killed at %s it said %q", r.Call, r.Stdout)
		}
		if n > 50 {
			t.Fatal("it never ends")
		}
		calls = append(calls, r.Call)
	}
	t.Log(calls)
	if got := strings.Join(calls, " "); !strings.Contains(got, "openat") || !strings.Contains(got, "write "+dir) {
		t.Errorf("killed at %s", got)
	}
}
