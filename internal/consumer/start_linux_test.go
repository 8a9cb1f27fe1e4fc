package consumer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain makes the test binary the program that becomes another one, or stays
// beside it.
func TestMain(m *testing.M) {
	var err error
	switch os.Getenv("CONSUMER_TEST") {
	case "":
		os.Exit(m.Run())
	case "start":
		err = Start(os.Args[1:], os.Environ())
	case "complain":
		err = Run(context.Background(), os.Args[1:], os.Environ(), func(context.Context) {
			_, _ = fmt.Fprintln(os.Stderr, "nobody reads this")
			_ = os.WriteFile(os.Getenv("CONSUMER_MARK"), nil, 0o600)
		})
	case "run":
		err = Run(context.Background(), os.Args[1:], os.Environ(), func(ctx context.Context) { <-ctx.Done() })
	}
	var start *StartError
	var exited *Exited
	switch {
	case errors.As(err, &start):
		fmt.Println(err)
		os.Exit(start.Status)
	case errors.As(err, &exited):
		os.Exit(exited.Repeat())
	}
	fmt.Println(err)
	os.Exit(1)
}

// TestStart and TestRunFinds compare with env(1): the same command line must give
// the same status and, where something ran, the same output.
func TestStart(t *testing.T) { compareWithEnv(t, "start") }

func TestRunFinds(t *testing.T) { compareWithEnv(t, "run") }

func compareWithEnv(t *testing.T, how string) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	file("plain", "echo hi", 0o600)
	file("script", "#!/bin/sh\necho script $1\nexit 7\n", 0o700)
	file("noshebang", "echo no shebang $1\nexit 9\n", 0o700)
	file("badinterp", "#!/no/such/interpreter\n", 0o700)
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	paths := []string{"/bin:/usr/bin", dir + ":/bin", "/no/such::" + dir + ":/bin", ""}
	commands := [][]string{
		{"true"}, {"false"}, {"sh", "-c", "exit 42"}, {"sh", "-c", "kill -TERM $$"},
		{"script", "a b"}, {"noshebang", "x"}, {dir + "/noshebang", "x"}, {dir + "/script", "y"},
		{"plain"}, {dir + "/plain"}, {"folder"}, {dir + "/folder"}, {dir}, {"/"},
		{"no-such-command"}, {"./no-such"}, {"/no/such/command"}, {dir + "/plain/x"}, {"badinterp"}, {""},
	}
	for _, path := range paths {
		for _, command := range commands {
			if command[0] == "" && path != "/bin:/usr/bin" {
				continue // once is enough
			}
			ours, status := run(t, how, dir, path, append([]string{os.Args[0]}, command...))
			theirs, want := run(t, how, dir, path, append([]string{"/usr/bin/env"}, command...))
			if status != want {
				t.Errorf("PATH=%q %q: status %d, env(1) %d (%s, %s)", path, command, status, want, ours, theirs)
			}
			if want < 125 && ours != theirs {
				t.Errorf("PATH=%q %q: output %q, env(1) %q", path, command, ours, theirs)
			}
		}
	}
}

func run(t *testing.T, how, dir, path string, argv []string) (string, int) {
	t.Helper()
	cmd := &exec.Cmd{Path: argv[0], Args: argv, Dir: dir, Env: []string{"CONSUMER_TEST=" + how, "PATH=" + path}}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// TestNoPath: without PATH the search is that of the C library.
func TestNoPath(t *testing.T) {
	cmd := &exec.Cmd{Path: os.Args[0], Args: []string{os.Args[0], "true"}, Env: []string{"CONSUMER_TEST=start"}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v, %s", err, out)
	}
}

// TestDirectExec: the process becomes the tool, so its id stays.
func TestDirectExec(t *testing.T) {
	cmd := &exec.Cmd{Path: os.Args[0], Args: []string{os.Args[0], "sh", "-c", "echo $$"}, Env: []string{"CONSUMER_TEST=start", "PATH=/bin"}}
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.TrimSpace(out.String()), fmt.Sprint(cmd.Process.Pid); got != want {
		t.Errorf("the tool is process %s, started was %s", got, want)
	}
}
