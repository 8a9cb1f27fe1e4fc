package lab

import (
	_ "embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// SlurmUser is the only user of a cluster, with the uid SlurmUID and the home
// /srv/home/alice, which all nodes see. A submit host's environment is all that
// jobs have of a login: no session, no bus, no keyring.
const (
	SlurmUser = "alice"
	SlurmUID  = 1500
)

// SlurmOptions says how a Slurm cluster is to be.
type SlurmOptions struct {
	Nodes int // 0: two
	CPUs  int // of each node, whatever the machine has; 0: eight
	// Hooks are scripts for slurm.conf, by their keys: "Prolog", "Epilog",
	// "TaskProlog".
	Hooks map[string]string
}

// Slurm is a running cluster: munged, slurmctld and a slurmd for each node, as
// root, in namespaces of their own. Nothing of it can be reached from outside,
// nor can it reach anything but what Forward lets in, and all of it, jobs
// included, ends with one process.
type Slurm struct {
	Dir   string // is /srv on all nodes
	Nodes []string

	t      TB
	server *server
}

//go:embed slurm.sh
var slurmScript string

// StartSlurm starts a cluster. Who is not root skips, X509CH_LAB=require or not:
// installing packages does not help.
func StartSlurm(t TB, o SlurmOptions) *Slurm {
	t.Helper()
	Require(t, SlurmCluster)
	if os.Getuid() != 0 {
		t.Skipf("a Slurm cluster needs root: its daemons change to the users of jobs")
	}
	if o.Nodes == 0 {
		o.Nodes = 2
	}
	if o.CPUs == 0 {
		o.CPUs = 8
	}
	id := LeakCheck(t)
	s := &Slurm{t: t, Dir: tempDir(t, "slurm")}
	for i := range o.Nodes {
		s.Nodes = append(s.Nodes, fmt.Sprintf("n%d", i+1))
	}
	s.files(o)
	cmd := exec.Command("sh", append([]string{filepath.Join(s.Dir, "etc", "up.sh"), s.Dir}, s.Nodes...)...)
	cmd.Env = []string{id, "PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin", "HOME=/nonexistent"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS}
	s.server = startCommand(t, "slurm", s.Dir, cmd)
	t.Cleanup(s.Stop)
	s.server.waitFor("idle nodes", func() bool {
		out, err := s.Run(10*time.Second, "sinfo", "--noheader", "--Node", "--format=%t")
		return err == nil && strings.Count(out, "idle") == o.Nodes
	})
	return s
}

// files writes the cluster's /srv.
func (s *Slurm) files(o SlurmOptions) {
	s.t.Helper()
	if err := os.Chmod(s.Dir, 0o755); err != nil {
		s.t.Fatalf("%v", err)
	}
	for _, dir := range []string{"etc", "bin", "log", "ctld", "spool", "munge", s.home()} {
		if err := os.MkdirAll(filepath.Join(s.Dir, dir), 0o755); err != nil {
			s.t.Fatalf("%v", err)
		}
	}
	munge := s.systemUser("munge")
	root := s.systemUser("root")
	s.File("etc/passwd", root+munge+fmt.Sprintf("%s:x:%d:%d::/srv/%s:/bin/bash\n", SlurmUser, SlurmUID, SlurmUID, s.home()), 0o644)
	s.File("etc/group", fmt.Sprintf("root:x:0:\nmunge:x:%s:\n%s:x:%d:\n", strings.Split(munge, ":")[3], SlurmUser, SlurmUID), 0o644)
	s.File("etc/hosts", "127.0.0.1 localhost\n10.99.0.1 head "+strings.Join(s.Nodes, " ")+"\n", 0o644)
	s.File("etc/munge.key", strings.Repeat("lab", 20), 0o400)
	s.File("etc/up.sh", slurmScript, 0o644)
	s.File("etc/slurm.conf", s.config(o), 0o644)
	for key, script := range o.Hooks {
		s.File("etc/"+key, script, 0o755)
	}
	uid, _ := strconv.Atoi(strings.Split(munge, ":")[2])
	for path, uid := range map[string]int{"etc/munge.key": uid, "munge": uid, s.home(): SlurmUID} {
		if err := os.Chown(filepath.Join(s.Dir, path), uid, -1); err != nil {
			s.t.Fatalf("%v", err)
		}
	}
}

func (s *Slurm) home() string { return "home/" + SlurmUser }

// systemUser is the line of /etc/passwd for an account of this machine.
func (s *Slurm) systemUser(name string) string {
	s.t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		s.t.Fatalf("%v", err)
	}
	return fmt.Sprintf("%s:x:%s:%s::/nonexistent:/usr/sbin/nologin\n", name, u.Uid, u.Gid)
}

// config is the smallest slurm.conf that was found to work, without systemd,
// cgroups or accounting. Debian's slurmd finds its node by the host name.
func (s *Slurm) config(o SlurmOptions) string {
	var text strings.Builder
	text.WriteString(`ClusterName=lab
SlurmctldHost=head(10.99.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=/srv/munge/socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerParameters=sched_interval=2,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=60
MaxArraySize=10001
StateSaveLocation=/srv/ctld
SlurmctldPidFile=/srv/ctld/pid
SlurmdPidFile=/srv/spool/%n/pid
SlurmdSpoolDir=/srv/spool/%n
`)
	for i, node := range s.Nodes {
		fmt.Fprintf(&text, "NodeName=%s NodeHostname=%s NodeAddr=10.99.0.1 Port=%d CPUs=%d\n", node, node, 17001+i, o.CPUs)
	}
	text.WriteString("PartitionName=batch Nodes=ALL Default=YES State=UP\n")
	for _, key := range []string{"Prolog", "Epilog", "TaskProlog"} {
		if o.Hooks[key] != "" {
			fmt.Fprintf(&text, "%s=/srv/etc/%s\n", key, key)
		}
	}
	return text.String()
}

// File writes a file below /srv of the nodes, as root.
func (s *Slurm) File(path, text string, mode os.FileMode) {
	s.t.Helper()
	writeFile(s.t, filepath.Join(s.Dir, path), []byte(text), mode)
}

// UserFile writes a file of the user's into his home.
func (s *Slurm) UserFile(path, text string, mode os.FileMode) {
	s.t.Helper()
	path = filepath.Join(s.home(), path)
	for dir := filepath.Dir(path); dir != s.home(); dir = filepath.Dir(dir) {
		defer func() { _ = os.Chown(filepath.Join(s.Dir, dir), SlurmUID, SlurmUID) }()
	}
	if err := os.MkdirAll(filepath.Join(s.Dir, filepath.Dir(path)), 0o700); err != nil {
		s.t.Fatalf("%v", err)
	}
	s.File(path, text, mode)
	if err := os.Chown(filepath.Join(s.Dir, path), SlurmUID, SlurmUID); err != nil {
		s.t.Fatalf("%v", err)
	}
}

// Home is the path of a file of the user's, as seen by the test.
func (s *Slurm) Home(path string) string { return filepath.Join(s.Dir, s.home(), path) }

// Node is the path of a file of a node, /dev/shm for instance, as seen by the
// test.
func (s *Slurm) Node(node, path string) string {
	s.t.Helper()
	pid, err := os.ReadFile(filepath.Join(s.Dir, "log", node+".pid"))
	if err != nil {
		s.t.Fatalf("%v", err)
	}
	// The number is that of the cluster's own process namespace.
	return filepath.Join("/proc", strconv.Itoa(s.server.pid), "root/proc", strings.TrimSpace(string(pid)), "root", path)
}

// Run runs a command on the submit host, as the user, in his home, and returns
// its output. sbatch --wait and srun can wait for ever: it is ended after that
// time.
func (s *Slurm) Run(within time.Duration, argv ...string) (string, error) {
	enter := []string{
		"nsenter", "--target", strconv.Itoa(s.server.pid), "--net", "--mount", "--uts", "--pid", "--",
		"setpriv", "--reuid=" + SlurmUser, "--regid=" + SlurmUser, "--clear-groups", "--",
		"timeout", "--kill-after=5", strconv.Itoa(int(within.Seconds())),
		"sh", "-c", `cd && exec "$@"`, "sh",
	}
	cmd := exec.Command(enter[0], slices.Concat(enter[1:], argv)...)
	cmd.Env = []string{
		"PATH=/srv/bin:/usr/bin:/bin", "HOME=/srv/" + s.home(), "USER=" + SlurmUser, "LOGNAME=" + SlurmUser,
		"SLURM_CONF=/srv/etc/slurm.conf", "XDG_RUNTIME_DIR=/run/user/" + strconv.Itoa(SlurmUID),
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Forward lets the cluster reach a server of this machine, "localhost:PORT", at
// the same address.
func (s *Slurm) Forward(addr string) {
	s.t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		s.t.Fatalf("%v", err)
	}
	local := net.JoinHostPort("127.0.0.1", port)
	listener, err := s.listen(local)
	if err != nil {
		s.t.Fatalf("%v", err)
	}
	r := serveRelay(listener, local)
	s.t.Cleanup(r.close)
}

// listen opens a socket in the cluster's network. A socket belongs to the
// network of the thread that made it.
func (s *Slurm) listen(addr string) (listener net.Listener, err error) {
	done := safego.Go(func() error {
		runtime.LockOSThread() // for good: the thread ends with this function
		network, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", s.server.pid))
		if err != nil {
			return err
		}
		defer network.Close()
		if err := unix.Setns(int(network.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter the network of the cluster: %w", err)
		}
		listener, err = net.Listen("tcp4", addr)
		return err
	})
	err = <-done
	return listener, err
}

// Log is what a node, or "slurmctld", has said.
func (s *Slurm) Log(name string) string {
	out, _ := os.ReadFile(filepath.Join(s.Dir, "log", name))
	return string(tail(out))
}

// Stop ends the cluster and all jobs.
func (s *Slurm) Stop() {
	s.t.Helper()
	if s.server == nil {
		return
	}
	if s.t.Failed() {
		for _, name := range append([]string{"slurmctld"}, s.Nodes...) {
			s.t.Logf("%s: %s", name, s.Log(name))
		}
	}
	s.server.end()
	s.server = nil
}
