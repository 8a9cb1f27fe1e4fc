package gsi

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// How many clients run at once, and how long one may take: a second on
// an idle machine, fifteen were seen on one with eight times too much to do.
const (
	clientsAtOnce = 4
	clientTimeout = 3 * time.Minute
)

// client is a real program that is given a file as its user's proxy.
type client struct {
	argv []string // FILE stands for the file
	env  func(file string) []string
	says string // what it prints when it is let in
}

// labClients starts the servers and returns who is asked, in the order of
// columns.
func labClients(t *testing.T, w *world, ca *lab.CA) (trustDir string, clients []client) {
	t.Helper()
	plain := lab.StartXRootDWith(t, ca, lab.XRootDOptions{Users: userNames()})
	tls := lab.StartXRootDWith(t, ca, lab.XRootDOptions{TLS: true, HTTP: true, Users: userNames()})
	vomsOnly := lab.StartXRootDWith(t, ca, lab.XRootDOptions{VOMSDir: w.vomsDir})
	const file, content = "served", "let in\n"
	for _, x := range []*lab.XRootD{plain, tls, vomsOnly} {
		w.install(x.TrustDir)
		if err := os.WriteFile(filepath.Join(x.Data, file), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	none := t.TempDir()
	offline := func(string) []string {
		return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + none, "X509_CERT_DIR=" + tls.TrustDir, "X509_VOMS_DIR=" + none}
	}
	return tls.TrustDir, []client{
		// The leaf is the first certificate of a file. Security level and
		// purpose are those of a grid server.
		{[]string{"openssl", "verify", "-allow_proxy_certs", "-auth_level", "2", "-purpose", "sslclient", "-no-CAfile", "-no-CAstore",
			"-CApath", tls.TrustDir, "-untrusted", "FILE", "FILE"}, offline, ": OK\n"},
		{[]string{"grid-proxy-info", "-file", "FILE", "-exists"}, offline, ""},
		{[]string{"voms-proxy-info", "-file", "FILE", "-exists"}, offline, ""},
		{[]string{"xrdfs", plain.URL, "cat", "/data/" + file}, plain.Env, content},
		{[]string{"xrdfs", tls.URL, "cat", "/data/" + file}, tls.Env, content},
		{[]string{"gfal-ls", tls.DAVS() + "/data/" + file}, tls.Env, file + "\n"},
		{[]string{"curl", "-sSf", "--capath", tls.TrustDir, "--cert", "FILE", "--key", "FILE", tls.HTTPS + "/data/" + file}, tls.Env, content},
		{[]string{"xrdfs", vomsOnly.URL, "cat", "/data/" + file}, vomsOnly.Env, content},
	}
}

// What a client says.
const (
	takes   = 'y'
	refuses = 'n'
	crashes = 'x'
)

// ask runs the program; an error is one of the test, not an answer.
func (c *client) ask(file string) (answer byte, output string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), clientTimeout)
	defer cancel()
	argv := slices.Clone(c.argv)
	for i := range argv {
		if argv[i] == "FILE" {
			argv[i] = file
		}
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.WaitDelay = c.env(file), time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	failed := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return 0, out.String(), fmt.Errorf("%s gave no answer within %s", argv[0], clientTimeout)
	case cmd.ProcessState == nil:
		return 0, "", failed
	case !cmd.ProcessState.Exited():
		return crashes, out.String(), nil
	case failed != nil:
		return refuses, out.String(), nil
	case !strings.Contains(out.String(), c.says):
		return 0, out.String(), fmt.Errorf("%s ended well and did not say %q", argv[0], c.says)
	}
	return takes, out.String(), nil
}

// askAll asks the clients about every file, but for those with a - in the
// file's word, and returns such words.
func askAll(t *testing.T, clients []client, files, expected []string) []string {
	t.Helper()
	type question struct{ file, client int }
	questions := make(chan question, len(files)*len(clients))
	words := make([][]byte, len(files))
	for f := range files {
		words[f] = bytes.Repeat([]byte("-"), len(clients))
		for c := range clients {
			if expected[f][c] != '-' {
				questions <- question{f, c}
			}
		}
	}
	close(questions)
	var workers []<-chan error
	for range clientsAtOnce {
		workers = append(workers, safego.Go(func() error {
			for q := range questions {
				word, output, err := clients[q.client].ask(files[q.file])
				if err != nil {
					t.Errorf("%s: %v\n%s", files[q.file], err, output)
					continue
				}
				words[q.file][q.client] = word
			}
			return nil
		}))
	}
	for _, done := range workers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	out := make([]string, len(files))
	for f := range words {
		out[f] = string(words[f])
	}
	return out
}

// compare asks about files of which the answers are known.
func compare(t *testing.T, clients []client, names, files, expected []string) {
	t.Helper()
	for i, got := range askAll(t, clients, files, expected) {
		if got != expected[i] {
			t.Errorf("%s: the clients (%s) say %s, want %s", names[i], strings.Join(columns, ", "), got, expected[i])
		}
	}
}

// newLab starts the servers and opens the trust directory that they have.
func newLab(t *testing.T) (*world, *TrustDir, []client) {
	t.Helper()
	lab.Require(t, lab.XRootDServer, lab.XRootDHTTP, lab.XRootDVOMS, lab.XRootDClient, lab.GridTools, lab.GFAL, lab.Curl)
	ca := lab.NewCA(t, "Lab")
	w := newWorld(t, &authority{ca.Cert, ca.Key})
	trustDir, clients := labClients(t, w, ca)
	dir, err := OpenTrustDir(trustDir)
	if err != nil {
		t.Fatal(err)
	}
	return w, dir, clients
}

// TestClients gives every kind to the real clients, and those to real servers,
// and compares what they say with what is written beside the kind. With -short
// it asks about a sample.
func TestClients(t *testing.T) {
	w, dir, clients := newLab(t)
	var names, files, expected []string
	for _, s := range kinds() {
		for _, k := range s.kinds {
			if testing.Short() && !k.short {
				continue
			}
			text := w.file(k)
			if got, err := w.judge(dir, text); !sameVerdict(got, k.want) {
				t.Errorf("%s: we say %v (%v), want %v", k.name, got, err, k.want)
			}
			names, expected = append(names, k.name), append(expected, k.asked)
			files = append(files, write(t, filepath.Join(t.TempDir(), "proxy"), text))
		}
	}
	compare(t, clients, names, files, expected)
}
