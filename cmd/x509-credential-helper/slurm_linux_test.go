package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/backends/myproxy"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/lab"
)

// batch is a real Slurm cluster of two nodes with the hooks of packaging/slurm,
// a real MyProxy server that renews for whoever has the proxy, and a real
// xrootd. The user has no pass phrase there, no keyring and no session; the
// environment names a bus and a runtime directory of the login node, which are
// not on the nodes.
type batch struct {
	*lab.Slurm
	t    *testing.T
	mp   *lab.MyProxy
	x    *lab.XRootD
	user *gsi.Credential
}

func newBatch(t *testing.T) *batch {
	t.Helper()
	lab.Require(t, lab.SlurmCluster, lab.MyProxyServer, lab.XRootDServer, lab.XRootDClient)
	hooks := map[string]string{}
	for key, file := range map[string]string{"Prolog": "prolog.sh", "Epilog": "epilog.sh", "TaskProlog": "task-prolog.sh"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "packaging", "slurm", file))
		if err != nil {
			t.Fatal(err)
		}
		hooks[key] = string(text)
	}
	b := &batch{t: t, mp: lab.StartMyProxy(t, lab.MyProxyOptions{})}
	user := b.mp.CA.User("Alice")
	b.x = lab.StartXRootD(t, b.mp.CA, user.DN())
	credential := gsi.Credential(*user)
	b.user = &credential
	b.Slurm = lab.StartSlurm(t, lab.SlurmOptions{Hooks: hooks})
	b.Forward(b.mp.Addr)
	b.Forward(strings.TrimPrefix(b.x.URL, "root://"))
	client := &myproxy.Client{Hosts: []string{b.mp.Addr}, Trust: func() (*gsi.TrustDir, error) { return gsi.OpenTrustDir(b.mp.TrustDir) }}
	if _, err := client.Put(t.Context(), myproxy.PutRequest{
		Username: lab.SlurmUser, CredentialName: "batch", NoPassphrase: true, Credential: b.user, Policy: myproxy.Policy{Renewer: "*"},
	}); err != nil {
		t.Fatal(err)
	}
	b.install()
	return b
}

// install puts the program, the trust roots and the user's files there.
func (b *batch) install() {
	b.t.Helper()
	program, err := exec.LookPath(name)
	if err != nil {
		b.t.Fatal(err)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		b.t.Fatal(err)
	}
	b.File("bin/"+name, string(text), 0o755)
	if err := os.CopyFS(filepath.Join(b.Dir, "trust"), os.DirFS(b.mp.TrustDir)); err != nil {
		b.t.Fatal(err)
	}
	chmod(b.t, filepath.Join(b.Dir, "trust"), 0o755)
	payload := strings.Repeat("payload\n", 4096)
	if err := os.WriteFile(filepath.Join(b.x.Data, "payload"), []byte(payload), 0o644); err != nil {
		b.t.Fatal(err)
	}
	b.UserFile("payload", payload, 0o644)
	b.UserFile("out/.keep", "", 0o600)
	b.UserFile(".config/x509-credential-helper/config.toml", fmt.Sprintf(`[profile.batch]
backend = "myproxy"
server = %q
username = %q
credential_name = "batch"
ca_dir = "/srv/trust"
auth = "renewal"
seed = "~/.x509/seed.pem"
lifetime = "2m"
min_lifetime = "10s" # to be quick; ten minutes are for those who copy for real
renew_after = "30%%-40%%" # a busy machine needs what is left to let a task copy
`, b.mp.Addr, lab.SlurmUser), 0o600)
}

// seed carries a proxy of the user's to the nodes, from an hour ago until life
// after now.
func (b *batch) seed(life time.Duration) (fingerprint string, end time.Time) {
	b.t.Helper()
	key, err := gsi.GenerateKey(b.t.Context(), gsi.KeyRSA2048)
	if err != nil {
		b.t.Fatal(err)
	}
	end = time.Now().Add(life)
	proxy, err := b.user.Derive(key, gsi.IssueOptions{Now: time.Now().Add(-time.Hour), Lifetime: time.Hour + life})
	if err != nil {
		b.t.Fatal(err)
	}
	text, err := proxy.PEM()
	if err != nil {
		b.t.Fatal(err)
	}
	info, err := gsi.Inspect(proxy.Chain)
	if err != nil {
		b.t.Fatal(err)
	}
	b.UserFile(".x509/seed.pem", string(text), 0o600)
	return info.Fingerprint, end
}

// array runs a script as an array of tasks and waits until each has written the
// line "end" into out/TASK. (sbatch --wait may do so for ever, and looks at
// growing intervals.)
func (b *batch) array(tasks int, within time.Duration, script string) []string {
	b.t.Helper()
	for task := range tasks {
		_ = os.Remove(b.Home("out/" + strconv.Itoa(task)))
	}
	b.UserFile("job.sh", script, 0o755)
	out, err := b.Run(patience, "env", "X509_CREDENTIAL_PROFILE=batch", "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1500/bus",
		"sbatch", fmt.Sprintf("--array=0-%d", tasks-1), "--ntasks=1", "--output=out/%a", "./job.sh")
	if err != nil {
		b.t.Fatalf("sbatch: %v: %s", err, out)
	}
	texts := make([]string, tasks)
	for deadline := time.Now().Add(within); ; time.Sleep(200 * time.Millisecond) {
		left := 0
		for task := range tasks {
			text, _ := os.ReadFile(b.Home("out/" + strconv.Itoa(task)))
			if texts[task] = string(text); !strings.HasSuffix(texts[task], "end\n") {
				left++
			}
		}
		if left == 0 {
			return texts
		}
		if time.Now().After(deadline) {
			queue, _ := b.Run(patience, "squeue")
			b.t.Fatalf("%d of %d tasks have not ended\n%s", left, tasks, queue)
		}
	}
}

// traces lists what the helper has on the nodes.
func (b *batch) traces() (found []string) {
	for _, node := range b.Nodes {
		for _, pattern := range []string{"/dev/shm/*", "/tmp/*", "/run/x509-credential-helper-jobs/1500", "/run/x509-credential-helper-jobs/1500/*"} {
			paths, _ := filepath.Glob(b.Node(node, pattern))
			found = append(found, paths...)
		}
	}
	return found
}

// clean waits until the epilogs have run and checks that they left nothing.
func (b *batch) clean() {
	b.t.Helper()
	for deadline := time.Now().Add(patience); len(b.traces()) > 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Errorf("left on the nodes: %q", b.traces())
			return
		}
	}
	if out, err := b.Run(patience, "sinfo", "--noheader", "--format=%T"); err != nil || strings.Contains(out, "drain") {
		b.t.Errorf("the nodes are %s, %v", out, err)
	}
}

// copied is a line of a task: with which proxy it has copied, where and when.
type copied struct {
	node, fingerprint string
	at                time.Time
}

const copyScript = `#!/bin/sh
copy=/tmp/copy.$SLURM_JOB_ID
xrdcp -f -s URL//data/payload $copy && cmp $copy payload || { echo "failed: status $?"; exit 1; }
rm $copy
echo "copied $(hostname) $(date +%s) $(openssl x509 -outform DER -in "$X509_USER_PROXY" | sha256sum | cut -c1-64)"
`

// readCopies finds the copies in a task's output, which has nothing else.
func readCopies(t *testing.T, text string) (list []copied) {
	t.Helper()
	for line := range strings.Lines(text) {
		var c copied
		var seconds int64
		switch n, err := fmt.Sscanf(line, "copied %s %d %s", &c.node, &seconds, &c.fingerprint); {
		case n == 3 && err == nil:
			c.at, c.fingerprint = time.Unix(seconds, 0), "sha256:"+c.fingerprint
			list = append(list, c)
		case line != "end\n" && !strings.HasPrefix(line, "waiting for "): // another task, or a busy server
			t.Errorf("a task said: %s", line)
		}
	}
	return list
}

// arrayScript copies in three ways: with what the task prolog gave the task,
// through exec, and with one exec --keep-fresh for longer than the seed lives.
// The last sixteen, which are all that the nodes take at once, go on until it has
// ended, like somebody who runs one command after the other: an expired seed is
// renewed by nobody, so one of each node has to be in time.
const arrayScript = `#!/bin/sh
if [ "$SLURM_ARRAY_TASK_ID" -ge LAST ]; then
	while [ "$(date +%s)" -le END ]; do x509-credential-helper exec -- sleep 4; done
	x509-credential-helper exec -- ./copy.sh
else
	case $SLURM_ARRAY_TASK_ID in
	[0-3]) x509-credential-helper exec --keep-fresh -- ./long.sh ;;
	*[02468]) ./copy.sh ;;
	*) x509-credential-helper exec -- ./copy.sh ;;
	esac
fi
echo end
`

const longScript = `#!/bin/sh
for i in 1 2 3 4 5; do ./copy.sh || exit; sleep 10; done
./copy.sh
`

// TestSlurmArray: two hundred tasks on two nodes copy with xrdcp. They begin with
// one proxy of forty-five seconds, more where the cluster was slow to start,
// outlive it, and each node renews it for all its tasks; nobody else asks the
// server. The last job of the user takes everything from its node.
func TestSlurmArray(t *testing.T) {
	t.Parallel()
	tasks := 200
	if testing.Short() {
		tasks = 24
	}
	begin := time.Now()
	b := newBatch(t)
	life := max(45*time.Second, 4*time.Since(begin))
	b.UserFile("copy.sh", strings.ReplaceAll(copyScript, "URL", b.x.URL), 0o755)
	b.UserFile("long.sh", longScript, 0o755)
	seed, end := b.seed(life)
	script := strings.NewReplacer("LAST", strconv.Itoa(tasks-16), "END", strconv.FormatInt(end.Unix(), 10)).Replace(arrayScript)
	before, began := b.mp.Connections(), time.Now()
	texts := b.array(tasks, 10*time.Minute, script)
	logons, took := b.mp.Connections()-before, time.Since(began)

	proxies, late, used := map[string][]string{}, 0, 0
	for task, text := range texts {
		list, want := readCopies(t, text), 1
		if task < 4 {
			want = 6
		}
		if len(list) != want {
			t.Errorf("task %d: %d copies, not %d: %s", task, len(list), want, text)
		}
		for _, c := range list {
			if c.at.After(end) {
				late++
			}
			if c.fingerprint != seed && !slices.Contains(proxies[c.node], c.fingerprint) {
				proxies[c.node] = append(proxies[c.node], c.fingerprint)
				used++
			}
		}
	}
	t.Logf("%d tasks in %v, %d copies after the end of the seed, %d logons for %d proxies", tasks, took.Round(time.Second), late, logons, used)
	if late < 16 || len(proxies) != len(b.Nodes) {
		t.Errorf("not outlived the seed, or not renewed on each node: %v", proxies)
	}
	// A renewed proxy lives for 315 s and is renewed after 94 of them. A busy
	// machine may miss the five seconds that somebody waits for it; then the node
	// does not try for half a minute at least.
	most, missed := len(b.Nodes)*(1+int(took.Seconds()/94)), len(b.Nodes)*(1+int(took.Seconds()/30))
	if used > most || logons < used || logons > used+missed {
		t.Errorf("%d logons for %d proxies, at most %d and %d", logons, used, most, missed)
	}
	if out, err := b.Run(patience, "env", "X509_USER_PROXY=.x509/seed.pem", "X509_CERT_DIR=/srv/trust", "SLURM_JOB_ID=0", "./copy.sh"); err == nil {
		t.Errorf("the seed still works: %s", out)
	}
	b.clean()
}

// TestSlurmCancel: a job that is cancelled, or runs into its time limit, hears of
// it through exec --keep-fresh at once, and nothing of it stays on the node.
func TestSlurmCancel(t *testing.T) {
	t.Parallel()
	b := newBatch(t)
	b.seed(time.Hour)
	b.UserFile("job.sh", `#!/bin/sh
exec x509-credential-helper exec --keep-fresh -- sh -c '
	trap "echo ended by SIGTERM; exit 7" TERM
	echo started
	while :; do sleep 0.1; done'
`, 0o755)
	if out, err := b.Run(patience, "env", "X509_CREDENTIAL_PROFILE=batch", "sbatch", "--output=out/cancelled", "./job.sh"); err != nil {
		t.Fatalf("sbatch: %v: %s", err, out)
	}
	wait := func(text string) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
			out, _ := os.ReadFile(b.Home("out/cancelled"))
			if strings.Contains(string(out), text) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("no %q in: %s", text, out)
			}
		}
	}
	wait("started\n")
	if len(b.traces()) == 0 {
		t.Error("there is nothing that could be cleaned")
	}
	if out, err := b.Run(patience, "scancel", "--user="+lab.SlurmUser); err != nil {
		t.Fatalf("scancel: %v: %s", err, out)
	}
	wait("ended by SIGTERM\n")
	b.clean()
}

// TestSlurmDeadSeed: a job that has queued for longer than its seed lives says
// so in a sentence, in each task, and asks no server.
func TestSlurmDeadSeed(t *testing.T) {
	t.Parallel()
	b := newBatch(t)
	b.seed(-time.Second)
	before := b.mp.Connections()
	for _, text := range b.array(20, 10*time.Minute, `#!/bin/sh
x509-credential-helper exec -- touch /tmp/started
echo "status $?"
echo end
`) {
		const why = "an expired proxy cannot renew anything"
		if strings.Count(text, why) != 2 || !strings.HasSuffix(text, "\nstatus 125\nend\n") { // the task prolog has said it, too
			t.Errorf("%s", text)
		}
	}
	if got := b.mp.Connections() - before; got != 0 {
		t.Errorf("%d connections with a seed that has expired", got)
	}
	b.clean()
}
