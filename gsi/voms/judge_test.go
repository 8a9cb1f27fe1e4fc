package voms_test

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// judgeScript asks libvomsapi, which servers have, about the proxies in some
// directories: VOMS_RetrieveFromFile with full verification, which is its
// default. Each is asked in a process of its own, since what is asked about
// may crash it.
const judgeScript = `
import os, sys
from ctypes import *
for d in sys.stdin.read().split():
    sys.stdout.flush()
    if os.fork() == 0:
        voms, libc, d, err = CDLL("libvomsapi.so.1"), CDLL(None), d.encode(), c_int(0)
        libc.fopen.restype = voms.VOMS_Init.restype = c_void_p
        voms.VOMS_ErrorMessage.restype = c_char_p
        data = c_void_p(voms.VOMS_Init(d + b"/vomsdir", d + b"/ca"))
        file = c_void_p(libc.fopen(d + b"/proxy", b"r"))
        ok = voms.VOMS_RetrieveFromFile(file, 0, data, byref(err))
        print("verified" if ok else voms.VOMS_ErrorMessage(data, err, None, 0).decode().replace("\n", " "))
        sys.stdout.flush()
        os._exit(0)
    if os.wait()[1] != 0:
        print("crashed")
`

// judge returns what libvomsapi says about each directory's proxy, "verified"
// or why not.
func judge(t *testing.T, dirs ...string) []string {
	t.Helper()
	if exec.Command("python3", "-c", `import ctypes; ctypes.CDLL("libvomsapi.so.1")`).Run() != nil {
		missing(t, "python3 or libvomsapi.so.1", "python3, libvomsapi1v5")
	}
	cmd := exec.Command("python3", "-c", judgeScript)
	cmd.Stdin = strings.NewReader(strings.Join(dirs, "\n"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	var said []string
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		said = append(said, lines.Text())
	}
	if len(said) != len(dirs) {
		t.Fatalf("the library said %d things about %d proxies: %q\n%s", len(said), len(dirs), said, &stderr)
	}
	return said
}

// missing skips a test with one line where a program is not installed, and
// fails it where the laboratory is required.
func missing(t *testing.T, what, debianPackage string) {
	t.Helper()
	text := what + " is not installed (Debian: " + debianPackage + ")"
	if os.Getenv("X509CH_LAB") == "require" {
		t.Fatal(text)
	}
	t.Skip(text)
}
