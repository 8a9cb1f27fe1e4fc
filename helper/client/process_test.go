package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds what a test waits for.
const patience = 20 * time.Second

// actVar makes the test binary a helper, and says which.
const actVar = "CLIENT_TEST_ACT"

func TestMain(m *testing.M) {
	act := os.Getenv(actVar)
	if act == "" {
		os.Exit(m.Run())
	}
	os.Exit(helpers[act]())
}

const refusal = `{"version":1,"error":{"code":"busy","message":"busy","retryable":true}}` + "\n"

// helpers are helpers, good and bad.
var helpers = map[string]func() int{
	// echo answers with what it was given, as an entry of list.
	"echo": func() int {
		request, err := io.ReadAll(os.Stdin)
		if err != nil {
			return 1
		}
		said, _ := json.Marshal(strings.Join(os.Args[1:], "|") + " " + strings.TrimSpace(string(request)))
		fmt.Printf(`{"version":1,"entries":[{"profile":%s}]}`+"\n", said)
		return 0
	},
	"refuse": func() int { fmt.Print(refusal); return 6 },
	"silent": func() int { fmt.Fprintln(os.Stderr, "ld.so: \x1b[31mno such library"); return 127 },
	"endless": func() int {
		for {
			if _, err := fmt.Print(strings.Repeat(" ", 1<<16)); err != nil {
				return 1
			}
		}
	},
	// terminated is what the real one does when it is told to end.
	"terminated": func() int {
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		fmt.Fprintln(os.Stderr, "ready")
		<-c
		fmt.Print(`{"version":1,"error":{"code":"cancelled","message":"cancelled","retryable":false}}` + "\n")
		return 130
	},
	// finishes has a token in hand, and brings it home before it ends.
	"finishes": func() int {
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		fmt.Fprintln(os.Stderr, "ready")
		<-c
		fmt.Print(`{"version":1,"entries":[]}` + "\n")
		return 0
	},
	// leaves ends and leaves a process behind that holds its output open as long
	// as there is a file.
	"leaves": func() int {
		child := exec.Command("sh", "-c", `while [ -e "$1" ]; do sleep 0.1; done`, "sh", os.Args[1])
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		if err := child.Start(); err != nil {
			return 1
		}
		fmt.Print(`{"version":1,"entries":[]}` + "\n")
		return 0
	},
}

// as makes the test binary the helper of the rest of the test.
func as(t *testing.T, act string) *Client {
	t.Helper()
	t.Setenv(actVar, act)
	return &Client{Command: []string{os.Args[0]}}
}

// TestProcess: the verb is the last argument, the request comes on standard
// input, which then ends, and the answer goes back.
func TestProcess(t *testing.T) {
	c := as(t, "echo")
	c.Command = append(c.Command, "a b", "c")
	a, err := c.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := a.Entries[0].Profile, `a b|c|list {"version":1}`; got != want {
		t.Errorf("the helper saw %q, expected %q", got, want)
	}
}

// TestProcessStatus: an answer counts whatever the status is, and its error has it.
func TestProcessStatus(t *testing.T) {
	_, err := as(t, "refuse").Get(t.Context(), GetRequest{})
	var said *Error
	if !errors.As(err, &said) || said.Code != CodeBusy || said.Status != 6 {
		t.Errorf("%v", err)
	}
}

// TestProcessSilent: what a broken helper said to people is in the error, fit
// for a terminal.
func TestProcessSilent(t *testing.T) {
	_, err := as(t, "silent").Get(t.Context(), GetRequest{})
	if !errors.Is(err, ErrBadAnswer) || !strings.Contains(err.Error(), "no such library") || !strings.Contains(err.Error(), "127") ||
		strings.Contains(err.Error(), "\x1b") {
		t.Errorf("%v", err)
	}
}

// TestProcessEndless: neither memory nor time is without bound.
func TestProcessEndless(t *testing.T) {
	_, err := as(t, "endless").Get(t.Context(), GetRequest{})
	if !errors.Is(err, ErrBadAnswer) || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("%v", err)
	}
}

// onWords calls a function once the helper has said something.
type onWords func()

func (f onWords) Write(p []byte) (int, error) { f(); return len(p), nil }

// TestProcessStopped: a caller that gives up asks the helper to end, which it may
// do in order.
func TestProcessStopped(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no way to ask a process to end")
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := as(t, "terminated")
	c.Stderr = onWords(cancel)
	_, err := c.Get(ctx, GetRequest{})
	var said *Error
	if !errors.Is(err, context.Canceled) || errors.As(err, &said) {
		t.Errorf("%v", err)
	}
	if _, err := c.Get(ctx, GetRequest{}); !errors.Is(err, context.Canceled) || errors.Is(err, ErrNoHelper) {
		t.Errorf("a context that was over before: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	c = as(t, "finishes")
	c.Stderr = onWords(cancel)
	if _, err := c.List(ctx); err != nil {
		t.Errorf("an answer that came all the same: %v", err)
	}
}

// TestProcessLeaves: what a helper leaves behind is not waited for.
func TestProcessLeaves(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no sh")
	}
	c, file := as(t, "leaves"), filepath.Join(t.TempDir(), "stay")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.Command = append(c.Command, file)
	end := func() { _ = os.Remove(file) } // as the end of the test does
	defer end()
	late := time.AfterFunc(patience, end)
	if _, err := c.List(t.Context()); err != nil {
		t.Error(err)
	}
	if !late.Stop() {
		t.Error("the answer came only after the end of what was left behind")
	}
}

// TestFindHelper: the environment goes before the PATH, is no shell, and nothing
// is run from the working directory by accident.
func TestFindHelper(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("programs have other names")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, helperName)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, test := range []struct{ variable, path, want string }{
		{"", dir, path},
		{"  ", dir, path},
		{path + "  --config \t$HOME/*;", "", path + "|--config|$HOME/*;"},
		{helperName + " x", dir, path + "|x"},
		{"./" + helperName, "", "./" + helperName},
		{"", "/no/such", ""},
		{"", ".", ""},
		{"", "", ""},
		{"/no/such/helper", dir, ""},
	} {
		t.Setenv(helperVar, test.variable)
		t.Setenv("PATH", test.path)
		argv, err := FindHelper()
		if got := strings.Join(argv, "|"); got != test.want || (err == nil) != (test.want != "") || err != nil && !errors.Is(err, ErrNoHelper) {
			t.Errorf("%q on PATH %q: %q, %v", test.variable, test.path, got, err)
		}
	}
	_, err := new(Client).Get(t.Context(), GetRequest{})
	if !errors.Is(err, ErrNoHelper) || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "/no/such/helper") {
		t.Errorf("%v", err)
	}
	if _, err := (&Client{Command: []string{dir}}).Get(t.Context(), GetRequest{}); !errors.Is(err, ErrNoHelper) {
		t.Errorf("a directory as the helper: %v", err)
	}
}
