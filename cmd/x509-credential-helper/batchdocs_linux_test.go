package main

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// TestBatchDocument does what docs/batch.md says, word for word but for the names
// of the server and the user: the configuration, the commands on the login node,
// the job, what cron calls, and the end of it all.
func TestBatchDocument(t *testing.T) {
	data, err := os.ReadFile("../../docs/batch.md")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, inMemory)
	text := strings.NewReplacer("myproxy.example.org", w.server.Addr(), `"alice"`, `"`+jane+`"`, "-l alice", "-l "+jane, "/home/alice", w.dir).
		Replace(string(data))
	w.prepareBatch(blockOf(t, text, "toml"))
	if r := w.run(passphrase+"\n", "login", "--passphrase-stdin", "atlas"); r.status != 0 {
		t.Fatalf("login: %+v", r)
	}
	do := func(script string) {
		t.Helper()
		cmd := exec.Command("sh", "-c", script)
		cmd.Dir, cmd.Env = w.dir, append(w.env, "SLURM_ARRAY_TASK_ID=7", "SLURM_JOB_ID=8")
		if r := w.finish(cmd); r.status != 0 {
			t.Errorf("%s: %+v", script, r)
		}
	}
	commands := regexp.MustCompile(`(?m)^    (?:\*/15 \* \* \* \* )?((?:x509-credential-helper|mkdir) .*)$`).FindAllStringSubmatch(text, -1)
	var end string
	for _, c := range commands {
		switch command := c[1]; {
		case strings.Contains(command, "destroy"):
			end = command // the document is ahead of time
		case strings.Contains(command, "keep-fresh") && !strings.Contains(command, "--once"): // does not end
		default:
			do(strings.Replace(command, "--jitter 10m", "--jitter 1ms", 1))
		}
	}
	before := w.server.Connections()
	do(blockOf(t, text, "sh"))
	if got, err := os.ReadFile(w.path("worked")); string(got) != "7\n" || err != nil {
		t.Errorf("the job: %q, %v", got, err)
	}
	if n := w.server.Connections() - before; len(commands) < 6 || n != 0 {
		t.Errorf("%d commands, %d connections of a job whose seed is good", len(commands), n)
	}
	do(end)
}

// blockOf is the first block of a language in a document.
func blockOf(t *testing.T, text, language string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "\n```"+language+"\n")
	body, _, ended := strings.Cut(rest, "\n```\n")
	if !ok || !ended {
		t.Fatalf("there is no block of %s", language)
	}
	return body + "\n"
}

// prepareBatch is a login node with a certificate in ~/.globus, and a job that
// looks at its proxy.
func (w *world) prepareBatch(config string) {
	w.t.Helper()
	credential := w.server.Credential(jane, "")
	cert, err := pemOf(&gsi.Credential{Chain: credential.Chain})
	if err != nil {
		w.t.Fatal(err)
	}
	text, err := credential.PEM()
	if err != nil {
		w.t.Fatal(err)
	}
	const work = "#!/bin/sh\nopenssl x509 -in \"$X509_USER_PROXY\" -noout -checkend 600 && echo \"$1\" >worked\n"
	if err := os.Mkdir(w.path(".globus"), 0o700); err != nil {
		w.t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		".globus/usercert.pem": cert, ".globus/userkey.pem": keyBlock(text), "work.sh": []byte(work),
		"config.toml": []byte(config + "[store]\n" + inMemory + "runtime_dir = \"" + w.path("run") + "\"\n"),
	} {
		if err := os.WriteFile(w.path(name), data, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := os.Chmod(w.path("work.sh"), 0o700); err != nil {
		w.t.Fatal(err)
	}
	w.env = append(w.env, "X509_CERT_DIR="+w.server.TrustDir(), "DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent/bus", "LOGNAME="+jane)
}
