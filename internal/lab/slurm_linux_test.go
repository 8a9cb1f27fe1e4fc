package lab

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestSlurm: two nodes with a place of their own each run jobs as the user, and
// what a job leaves running ends with the cluster.
func TestSlurm(t *testing.T) {
	s := StartSlurm(t, SlurmOptions{})
	out, err := s.Run(60*time.Second, "srun", "--nodes=2", "sh", "-c", `id -u; hostname; hostname >/dev/shm/mine; nohup sleep 1000 >/dev/null 2>&1 &`)
	if err != nil || strings.Count(out, "1500\n") != 2 || !strings.Contains(out, "n1\n") || !strings.Contains(out, "n2\n") {
		t.Fatalf("%v: %s", err, out)
	}
	for _, node := range s.Nodes {
		if got, err := os.ReadFile(s.Node(node, "/dev/shm/mine")); string(got) != node+"\n" {
			t.Errorf("%s: %q, %v", node, got, err)
		}
	}
	if _, err := os.Stat("/dev/shm/mine"); err == nil {
		t.Error("a job wrote to this machine")
	}
}
