package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/sandbox"
	"github.com/x509-credential-helper/x509-credential-helper/internal/term/ptytest"
)

// keepOut collects everything that could be seen of a pass phrase.
type keepOut struct {
	w    *world
	seen map[string]string // where it was found: what stands there
}

// add notes what was seen there now, beside what was seen before.
func (k *keepOut) add(where, text string) { k.seen[where] += text + "\n" }

func (k *keepOut) run(stdin string, args ...string) result {
	r := k.w.run(stdin, args...)
	what := fmt.Sprintf("%s %q", strings.Join(args, " "), stdin)
	k.add("standard output of "+what, r.stdout)
	k.add("standard error of "+what, r.stderr)
	return r
}

// process notes what others may see of a process and, as this is a test, what
// only its user may.
func (k *keepOut) process(pid int) {
	for _, file := range []string{"cmdline", "environ"} {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
		if err == nil { // environ needs root, because of PR_SET_DUMPABLE
			k.add(fmt.Sprintf("%s of %d", file, pid), string(data))
		}
	}
}

// files notes every file of the world.
func (k *keepOut) files() { k.below(k.w.dir) }

// below notes every file of a directory. What somebody who is at work there
// removes meanwhile is not there.
func (k *keepOut) below(dir string) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var data []byte
			data, err = os.ReadFile(path)
			k.add(path, string(data))
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		k.w.t.Fatal(err)
	}
}

// TestKeepOut: the pass phrase is nowhere but in the keyring: not in what is
// printed, good or bad, nor in arguments or environments of processes, nor in
// files, in no encoding.
func TestKeepOut(t *testing.T) {
	w := newWorld(t, inMemory)
	k := &keepOut{w, map[string]string{}}
	line := passphrase + "\n"
	request := fmt.Sprintf(`{"secret":{"kind":"passphrase","value":%q}}`, passphrase)

	w.server.Next(sandbox.Faults{Refuse: "no such thing"}, sandbox.Faults{Garbage: sandbox.StageCSR}, sandbox.Faults{WrongKey: true})
	for range 3 {
		k.run(line, "login", "--passphrase-stdin")
	}
	k.run("x"+line, "login", "--passphrase-stdin")            // wrong
	k.run(passphrase+"\x00\n", "login", "--passphrase-stdin") // not a pass phrase
	k.run(passphrase+" LIFETIME=1\n", "login", "--passphrase-stdin")
	k.run(strings.Repeat(line[:25], 300), "login", "--passphrase-stdin")
	k.run(request, "store")
	k.run(strings.Replace(request, "passphrase\"", "passphrasse\"", 1), "store")
	k.run(strings.Replace(request, "}}", `,"extra":1}}`, 1), "store")
	k.run(request[:len(request)-1], "store")
	k.run(request+request, "get")
	if r := k.run(line, "login", "--passphrase-stdin"); r.status != 0 {
		t.Fatalf("login: %+v", r)
	}
	k.run("{}", "get")
	k.run("{}", "list")
	k.run("", "status")
	k.run("", "exec", "--", "sh", "-c", "cat /proc/$$/environ /proc/$$/cmdline")
	k.run("", "logout")

	// While a fetch is under way.
	w.server.SetFaults(sandbox.Faults{Silent: sandbox.StageRequest})
	asked := w.server.Requests(0)
	c := ptytest.Start(t, w.command("login"))
	c.Expect(question)
	c.Type(line)
	w.waitFor("the request", func() bool { return w.server.Requests(0) > asked })
	k.process(c.Pid())
	k.files()
	c.Type("\x03")
	if status := c.Wait(); status != helper.CodeCancelled.ExitStatus() {
		t.Errorf("interrupted: status %d", status)
	}
	k.add("the terminal", c.Output())
	k.files()

	looked := 0
	for where, text := range k.seen {
		looked += len(text)
		for _, form := range forms([]byte(canary)) {
			if strings.Contains(text, form) {
				t.Errorf("the pass phrase shows as %q in %.100s: %.500q", form, where, text)
			}
		}
	}
	if looked < 10000 || !bytes.Contains([]byte(k.seen["the terminal"]), []byte(question)) {
		t.Errorf("only %d bytes were looked at", looked)
	}
}
