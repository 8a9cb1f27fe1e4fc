package lab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestVOMS: the real client, which verifies what it gets, gets from the real
// server the attributes that the database holds.
func TestVOMS(t *testing.T) {
	Require(t, VOMSServer)
	ca := NewCA(t, "X509CH Lab")
	alice, bob := ca.User("Alice O'Hara"), ca.User("Bob")
	v := StartVOMS(t, ca, VOMSOptions{
		Members: []VOMSMember{
			{User: alice, FQANs: []string{"/labvo/team", "/labvo/Role=production", "/labvo/team/Role=production"}},
			{User: bob},
		},
		MaxLife: 2 * time.Hour,
	})
	timeLeft := regexp.MustCompile(`^(12:00:00|11:59:\d\d) 0?(2:00:00|1:59:\d\d)$`)
	for name, tc := range map[string]struct {
		user *Credential
		args []string
		want []string // FQANs
	}{
		"all":    {alice, nil, []string{"/labvo", "/labvo/team"}},
		"a role": {alice, []string{"-voms", "labvo:/labvo/team/Role=production"}, []string{"/labvo/team/Role=production", "/labvo/team", "/labvo"}},
		"bob":    {bob, nil, []string{"/labvo"}},
	} {
		t.Run(name, func(t *testing.T) {
			info := vomsInfo(t, v.TrustDir, v.VOMSDir, v.ProxyInit(t, tc.user, tc.args...))
			if got := strings.Join(info["attribute"], " "); got != strings.Join(long(tc.want), " ") {
				t.Errorf("attributes %s", got)
			}
			from := strings.Join(append(info["VO"], info["uri"]...), " ")
			if from != "labvo localhost:15000" || !slices.Contains(info["issuer"], "/C=XX/O=X509CH Lab/CN=localhost") {
				t.Errorf("attributes of %s: %v", from, info)
			}
			// The proxy's and the attributes', which the server has shortened.
			if left := strings.Join(info["timeleft"], " "); !timeLeft.MatchString(left) {
				t.Errorf("time left: %s", left)
			}
		})
	}
}

// TestVOMSNewFormat: the holder is named by the issuer only when that is asked
// for, and the client believes both.
func TestVOMSNewFormat(t *testing.T) {
	Require(t, VOMSServer)
	ca := NewCA(t, "X509CH Lab")
	alice := ca.User("Alice")
	names := map[bool]int{} // how often the attributes name the authority
	for _, newFormat := range []bool{false, true} {
		v := StartVOMS(t, ca, VOMSOptions{Members: []VOMSMember{{User: alice}}, NewFormat: newFormat})
		names[newFormat] = bytes.Count(leaf(t, v.ProxyInit(t, alice)).Raw, ca.Cert.RawSubject)
		v.Stop()
	}
	if names[true] != names[false]+1 {
		t.Errorf("old %d, new %d", names[false], names[true])
	}
}

// TestVOMSRefusals: what the server says to strangers and to members who ask
// for what is not theirs.
func TestVOMSRefusals(t *testing.T) {
	Require(t, VOMSServer)
	ca := NewCA(t, "X509CH Lab")
	bob := ca.User("Bob")
	v := StartVOMS(t, ca, VOMSOptions{VO: "other.vo", Members: []VOMSMember{{User: bob}}})
	for name, tc := range map[string]struct {
		user *Credential
		args []string
		want string
	}{
		"a stranger":        {ca.User("Mallory"), nil, "User unknown to this VO"},
		"no role of his":    {bob, []string{"-voms", "other.vo:/other.vo/Role=production"}, "Unable to satisfy B/other.vo:production request"},
		"another authority": {NewCA(t, "Elsewhere").User("Bob"), nil, "None of the contacted servers"}, // it hangs up
	} {
		t.Run(name, func(t *testing.T) {
			_, err := v.TryProxyInit(t, tc.user, tc.args...)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// TestVOMSListensInItsOwnNetwork: no port of it can be reached from ours.
func TestVOMSListensInItsOwnNetwork(t *testing.T) {
	Require(t, VOMSServer)
	v := StartVOMS(t, NewCA(t, "X509CH Lab"), VOMSOptions{})
	theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", v.server.pid))
	ours, err2 := os.Readlink("/proc/self/ns/net")
	if err != nil || err2 != nil || theirs == ours {
		t.Errorf("its network is %s, ours %s: %v, %v", theirs, ours, err, err2)
	}
	if ports := listening(t, v.database.pid); len(ports) != 0 {
		t.Errorf("the database listens at %v", ports)
	}
	ip := v.Inside("ip", "-br", "addr")
	if out, err := exec.Command(ip[0], ip[1:]...).Output(); err != nil ||
		strings.Count(string(out), "\n") != 1 || !strings.HasPrefix(string(out), "lo ") {
		t.Errorf("its network: %v, %s", err, out)
	}
}

// TestPrivateNetwork: without namespaces a laptop skips, and continuous
// integration fails.
func TestPrivateNetwork(t *testing.T) {
	requireLinux(t)
	t.Setenv("PATH", "/nonexistent") // no unshare
	for _, tc := range []struct{ mode, want string }{{"", "skip"}, {"require", "fatal"}} {
		t.Setenv("X509CH_LAB", tc.mode)
		r := &requirer{TB: t}
		privateNetwork(r)
		if got, text, _ := strings.Cut(r.got, ": "); got != tc.want || !strings.Contains(text, "network") {
			t.Errorf("X509CH_LAB=%q: %s", tc.mode, r.got)
		}
	}
}

// TestFakeVOMS: what voms-proxy-fake makes up is as good as real, for the
// library and for a storage server that wants attributes; a proxy of that proxy
// as well.
func TestFakeVOMS(t *testing.T) {
	Require(t, VOMSFake, GridTools, XRootDServer, XRootDHTTP, XRootDVOMS, XRootDClient, GFAL)
	ca := NewCA(t, "X509CH Lab")
	alice := ca.User("Alice")
	vomsDir := ca.VOMSDir("labvo", defaultVOMSAddr)
	x := StartXRootDWith(t, ca, XRootDOptions{HTTP: true, VOMSDir: vomsDir})
	writeFile(t, filepath.Join(x.Data, "file"), []byte("hello\n"), 0o644)
	text := FakeVOMS(t, ca, alice, FakeVOMSOptions{Args: []string{"-ga", "nickname=ally (labvo)", "-vomslife", "1"}})
	info := vomsInfo(t, x.TrustDir, vomsDir, text)
	if got := strings.Join(info["attribute"], " "); got != "/labvo/Role=NULL/Capability=NULL nickname = ally  (labvo)" {
		t.Errorf("attributes %q", got)
	}
	voms := filepath.Join(t.TempDir(), "voms")
	writeFile(t, voms, text, 0o600)
	for name, proxy := range map[string]string{"with": voms, "delegated": delegate(t, x.TrustDir, voms), "without": gridProxy(t, x.TrustDir, alice)} {
		for tool, argv := range map[string][]string{
			"xrdfs":    {"xrdfs", x.URL, "cat", "/data/file"},
			"gfal-cat": {"gfal-cat", x.DAVS() + "/data/file"},
		} {
			cmd := exec.Command(argv[0], argv[1:]...)
			cmd.Env = x.Env(proxy)
			out, err := cmd.CombinedOutput()
			if ok := err == nil && strings.Contains(string(out), "hello\n"); ok != (name != "without") {
				t.Errorf("%s, %s attributes: %v, %s", tool, name, err, out)
			}
		}
	}
}

// vomsInfo is what voms-proxy-info -all prints, by its labels.
func vomsInfo(t *testing.T, trustDir, vomsDir string, proxy []byte) map[string][]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "proxy")
	writeFile(t, file, proxy, 0o600)
	cmd := exec.Command("voms-proxy-info", "-all", "-file", file)
	cmd.Env = []string{"HOME=" + filepath.Dir(file), "X509_CERT_DIR=" + trustDir, "X509_VOMS_DIR=" + vomsDir}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("voms-proxy-info: %v, %s", err, out)
	}
	info := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		if label, value, ok := strings.Cut(line, " : "); ok {
			label = strings.TrimSpace(label)
			info[label] = append(info[label], strings.TrimSpace(value))
		}
	}
	return info
}

// long is how FQANs are written in attributes.
func long(fqans []string) []string {
	var out []string
	for _, fqan := range fqans {
		if !strings.Contains(fqan, "/Role=") {
			fqan += "/Role=NULL"
		}
		out = append(out, fqan+"/Capability=NULL")
	}
	return out
}

// delegate makes a proxy of a proxy with grid-proxy-init.
func delegate(t *testing.T, trustDir, proxy string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "delegated")
	env := []string{"PATH=/usr/bin:/bin", "HOME=" + filepath.Dir(out), "X509_CERT_DIR=" + trustDir}
	run(t, env, "", "grid-proxy-init", "-q", "-bits", "2048", "-cert", proxy, "-key", proxy, "-out", out)
	return out
}
