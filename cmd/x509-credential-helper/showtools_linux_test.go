package main

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// tools runs programs on the samples, in a world of their own.
type tools struct {
	t   *testing.T
	dir string
	env []string
}

// newTools skips with -short: hundreds of processes of a show that has one
// goroutine tell the race detector nothing.
func newTools(t *testing.T) *tools {
	t.Helper()
	if testing.Short() {
		t.Skip("hundreds of processes, not with -short")
	}
	c := &tools{t: t, dir: t.TempDir()}
	g := newProxyLab(t, time.Now().Truncate(time.Second))
	for name, data := range samples(g) {
		write(t, filepath.Join(c.dir, name), data, 0o600)
	}
	certificates, vomsdir := g.trustDir(c.dir)
	c.env = []string{"HOME=" + c.dir, "PATH=/usr/bin:/bin", "LANG=C", "X509_CERT_DIR=" + certificates, "X509_VOMS_DIR=" + vomsdir}
	return c
}

// run returns standard output and exit status.
func (c *tools) run(program string, args ...string) (string, int) {
	c.t.Helper()
	path := program
	if program == "show" {
		args = append([]string{"show"}, args...)
		path = name
	}
	path, err := exec.LookPath(path)
	if err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Env = c.dir, c.env
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// The tools that show is held against.
const (
	vomsInfo = "voms-proxy-info"
	gridInfo = "grid-proxy-info"
)

// TestDifferential: whoever puts show in the place of voms-proxy-info or
// grid-proxy-info in a script sees the same lines and the same exit status.
func TestDifferential(t *testing.T) {
	t.Parallel()
	lab.Require(t, lab.GridTools)
	c := newTools(t)
	for _, tc := range []struct{ tool, options, files string }{
		{vomsInfo, "-subject", "one limited renewed short acover usercert headless"},
		{vomsInfo, "-issuer", "one limited renewed short acover usercert headless"},
		{vomsInfo, "-identity", "one acover independent"},
		{vomsInfo, "-strength", "one limited"},
		{vomsInfo, "-path", "one limited"},
		{vomsInfo, "-timeleft", "one limited renewed independent"},
		{vomsInfo, "-subject -issuer -strength -path -timeleft", "one limited acover"},
		{vomsInfo, "-timeleft -path -strength -issuer -subject", "one limited acover"},
		{vomsInfo, "-vo", "one limited renewed"},
		{vomsInfo, "-fqan", "one limited renewed"},
		{vomsInfo, "-actimeleft", "one limited renewed"},
		{vomsInfo, "-vo -acsubject -acissuer -uri -actimeleft -fqan -serial", "limited renewed"},
		{vomsInfo, "-serial -fqan -actimeleft -uri -acissuer -acsubject -vo", "limited renewed"},
		{vomsInfo, "-subject -vo -timeleft -fqan", "limited renewed"},
		{vomsInfo, "-dont-verify-ac -fqan", "limited"},
		{vomsInfo, "-targets", "limited"},
		{vomsInfo, "-acexists labvo", "one limited renewed"},
		{vomsInfo, "-acexists othervo", "one limited"},
		{vomsInfo, "-acexists labvo -acexists othervo", "limited"},
		{vomsInfo, "-exists", "one limited renewed short expired acover headless missing"},
		{vomsInfo, "-exists -valid 1:30", "one limited renewed expired"},
		{vomsInfo, "-exists -valid 11:30", "one limited renewed expired"},
		{vomsInfo, "-exists -hours 10", "one limited"},
		{vomsInfo, "-exists -bits 2048", "one limited"},
		{vomsInfo, "-exists -bits 2049", "one limited"},
		{vomsInfo, "-exists -timeleft", "one limited"},
		{vomsInfo, "-timeleft", "missing"},
		{gridInfo, "-subject", "one limited renewed short acover"},
		{gridInfo, "-issuer", "one limited renewed short acover"},
		{gridInfo, "-identity", "one limited renewed short acover"},
		{gridInfo, "-type", "one limited renewed short acover independent legacy"},
		{gridInfo, "-strength", "one limited"},
		{gridInfo, "-timeleft", "one limited renewed short acover missing"},
		{gridInfo, "-path", "one limited"},
		{gridInfo, "-subject -issuer -identity -type -strength -path -timeleft", "one limited short"},
		{gridInfo, "-s -i", "one limited"},
		{gridInfo, "-rfc2253 -subject -issuer -identity", "one limited"},
		{gridInfo, "-exists", "one limited renewed short expired acover usercert missing"},
		{gridInfo, "-e -v 0:10", "one limited short expired"},
		{gridInfo, "-exists -valid 2:0", "one limited short expired"},
		{gridInfo, "-exists -hours 2", "one limited short"},
		{gridInfo, "-e -h 2", "one short expired"},
		{gridInfo, "-e -h 1", "one expired"},
		{gridInfo, "-exists -hours 1", "one expired missing"},
		{vomsInfo, "-exists -hours 1", "one expired missing"},
		{gridInfo, "-e -b 4096", "one"},
		{gridInfo, "-e -timeleft", "one limited"},
	} {
		for _, file := range strings.Fields(tc.files) {
			args := append(strings.Fields(tc.options), "-file", filepath.Join(c.dir, file))
			theirs, theirStatus := c.run(tc.tool, args...)
			ours, ourStatus := c.run("show", args...)
			if !sameLines(ours, theirs) || ourStatus != theirStatus {
				t.Errorf("%s %s on %s: status %d\n%sshow: status %d\n%s", tc.tool, tc.options, file, theirStatus, theirs, ourStatus, ours)
			}
		}
	}
}

// TestDifferences: where the tools are wrong we differ, and only as the comment
// in showvalues.go says. It fails when a tool has been mended, so that the
// comment is.
func TestDifferences(t *testing.T) {
	lab.Require(t, lab.GridTools)
	c := newTools(t)
	user := "/C=XX/O=Example Grid/CN=Jane Doe jane@example.org\n"
	const impersonation = "RFC 3820 compliant impersonation proxy\n"
	for _, tc := range []struct {
		tool, options, files string
		ours                 string
		status               int
	}{
		{vomsInfo, "-identity", "limited short renewed usercert", user, 0},
		{vomsInfo, "-issuer -identity", "one", user + user, 0},
		{vomsInfo, "-type", "one short", impersonation, 0},
		{vomsInfo, "-type", "limited", "RFC 3820 compliant limited proxy\n", 0},
		{vomsInfo, "-type", "usercert", "end entity credential\n", 0},
		{vomsInfo, "-timeleft", "expired notyet", "0\n", 1},
		{vomsInfo, "-timeleft", "short", "3595\n", 0},
		{vomsInfo, "-actimeleft", "acover", "0\n", 1},
		{vomsInfo, "-vo", "acover", "labvo\n", 1},
		{vomsInfo, "-acexists labvo", "acover", "", 1},
		{vomsInfo, "-exists", "notyet wrongkey usercert", "", 1},
		{vomsInfo, "-keyusage", "one", "Digital Signature, Key Encipherment\n", 0},
		{vomsInfo, "-strength", "ec", "256\n", 0},
		{vomsInfo, "-subject", "expired", user[:len(user)-1] + "/CN=5\n", 1},
		{gridInfo, "-timeleft", "expired notyet", "0\n", 1},
		{gridInfo, "-exists", "headless notyet wrongkey", "", 1},
		{gridInfo, "-strength", "ec", "256\n", 0},
		{gridInfo, "-issuer -subject", "one", user[:len(user)-1] + "/CN=1804289383\n" + user, 0},
	} {
		for _, file := range strings.Fields(tc.files) {
			args := append(strings.Fields(tc.options), "-file", filepath.Join(c.dir, file))
			theirs, theirStatus := c.run(tc.tool, args...)
			ours, ourStatus := c.run("show", args...)
			if !sameLines(ours, tc.ours) || ourStatus != tc.status {
				t.Errorf("show %s on %s: status %d\n%sexpected status %d\n%s", tc.options, file, ourStatus, ours, tc.status, tc.ours)
			}
			if sameLines(ours, theirs) && ourStatus == theirStatus {
				t.Errorf("%s %s on %s is no difference any more: status %d\n%s", tc.tool, tc.options, file, theirStatus, theirs)
			}
		}
	}
}

// sameLines allows minutes to have passed between two calls: this may be a slow
// machine.
func sameLines(a, b string) bool {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	if len(as) != len(bs) {
		return false
	}
	for i := range as {
		n, err := strconv.Atoi(as[i])
		m, err2 := strconv.Atoi(bs[i])
		if as[i] != bs[i] && (err != nil || err2 != nil || n > m+300 || m > n+300) {
			return false
		}
	}
	return true
}

// TestVOMSProxyInfoAll: the layout for scripts that cut up the output of
// voms-proxy-info -all has its lines, but for those with a wrong value.
func TestVOMSProxyInfoAll(t *testing.T) {
	lab.Require(t, lab.GridTools)
	c := newTools(t)
	for _, options := range []string{"-all", "-all -chain", "-chain"} {
		for _, file := range []string{"one", "limited", "renewed"} {
			args := append(strings.Fields(options), "-file", filepath.Join(c.dir, file))
			theirs, _ := c.run("voms-proxy-info", args...)
			ours, status := c.run("show", args...)
			if status != 0 || !samePage(ours, theirs) {
				t.Errorf("%s on %s: status %d, we print\n%s\nvoms-proxy-info\n%s", options, file, status, ours, theirs)
			}
		}
	}
}

// samePage compares what both must have: labels everywhere, and values where
// voms-proxy-info is right and time does not pass.
func samePage(a, b string) bool {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	if len(as) != len(bs) {
		return false
	}
	for i := range as {
		label, _, _ := strings.Cut(as[i], ":")
		other, _, _ := strings.Cut(bs[i], ":")
		switch strings.TrimSpace(label) {
		case "identity", "type", "timeleft":
			if label != other {
				return false
			}
		default:
			if as[i] != bs[i] {
				return false
			}
		}
	}
	return true
}
