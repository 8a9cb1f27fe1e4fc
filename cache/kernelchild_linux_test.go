package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// childKernel is a process of another session, user or container that uses the
// kernel's keyring. KERNEL_AS says how it differs, KERNEL_DO what it does.
func childKernel() error {
	runtime.LockOSThread() // sessions and filters are a thread's own
	k := &kernelKeyring{service: os.Getenv("KERNEL_SERVICE")}
	for _, as := range strings.Fields(os.Getenv("KERNEL_AS")) {
		if err := become(as); err != nil {
			return fmt.Errorf("%s: %w", as, err)
		}
	}
	ctx := context.Background()
	for _, do := range strings.Fields(os.Getenv("KERNEL_DO")) {
		verb, arg, _ := strings.Cut(do, "=")
		switch verb {
		case "get":
			value, err := k.Get(ctx, arg)
			say("get", string(value), err)
		case "set":
			say("set", "", k.Set(ctx, arg, []byte("child's")))
		case "delete":
			say("delete", "", k.Delete(ctx, arg))
		case "delete-all":
			say("delete-all", "", k.DeleteAll(ctx))
		case "read": // a key whose number is known
			id, _ := strconv.Atoi(arg)
			value := make([]byte, MaxSecret)
			n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, id, value, 0)
			say("read", string(value[:max(0, n)]), err)
		case "fill":
			say("fill", "", useUp())
		case "loop":
			fmt.Println("ready")
			for {
				if err := k.Set(ctx, arg, []byte("v")); err != nil {
					return err
				}
			}
		case "clear":
			_, err := unix.KeyctlInt(unix.KEYCTL_CLEAR, unix.KEY_SPEC_USER_KEYRING, 0, 0, 0)
			say("clear", "", err)
		}
	}
	return nil
}

func say(verb, value string, err error) {
	kind := ""
	for _, k := range []error{ErrNotFound, ErrUnavailable, ErrTooBig} {
		if errors.Is(err, k) {
			kind = k.Error()
		}
	}
	fmt.Printf("%s|%s|%s|%v\n", verb, value, kind, err)
}

// become changes this thread, or the whole process.
func become(as string) error {
	kind, arg, _ := strings.Cut(as, "=")
	n, _ := strconv.Atoi(arg)
	switch kind {
	case "session":
		_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0) // without a name
		return err
	case "uid":
		return errors.Join(syscall.Setgroups(nil), syscall.Setgid(n), syscall.Setuid(n))
	case "refused":
		return refuse(unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL)(n)
	}
	return errors.New("unknown")
}

// refuse makes system calls fail for this thread, as docker's default profile
// does.
func refuse(calls ...uint32) func(errno int) error {
	return func(errno int) error {
		filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // the call's number
		for i, nr := range calls {
			filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: uint8(len(calls) - i), K: nr})
		}
		filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)})
		program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return err
		}
		return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
	}
}

// useUp uses up the user's quota: first the bytes, then the rest, and then again
// what was only waiting to be collected.
func useUp() error {
	n := 0
	for i, size := range []int{4000, 400, 1, 4000, 400, 1} {
		if i == 3 {
			time.Sleep(10 * quotaTries * quotaPause)
		}
		for ; ; n++ {
			_, err := unix.AddKey(userType, fmt.Sprintf("fill-%d-%d", size, n), make([]byte, size), unix.KEY_SPEC_USER_KEYRING)
			if err == unix.EDQUOT {
				break
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// as runs a child and returns what it said, one line for each thing done. attr
// may be nil.
func (k *kernelKeyring) as(t *testing.T, as, do string, attr *syscall.SysProcAttr) []string {
	t.Helper()
	cmd := child(t, "kernel", "KERNEL_SERVICE="+k.service, "KERNEL_AS="+as, "KERNEL_DO="+do)
	cmd.SysProcAttr = attr
	out, err := cmd.Output()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		t.Fatalf("%v: %s", err, exit.Stderr)
	}
	must(t, err)
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %q", got)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("got %q, want %q", got[i], want[i])
		}
	}
}

// TestKernelSession: cron, sshd and systemd give each session a keyring of its
// own, which does not possess the user's. A key with the kernel's default
// permissions is found there and cannot be read; ours can.
func TestKernelSession(t *testing.T) {
	ctx, k := context.Background(), newKernel(t)
	_, err := unix.AddKey(userType, k.description("trap"), []byte("v"), unix.KEY_SPEC_USER_KEYRING)
	must(t, err)
	must(t, k.Set(ctx, "a", []byte("parent's")))
	must(t, k.Set(ctx, "b", []byte("parent's")))
	wantLines(t, k.as(t, "session", "get=trap get=a set=a get=a delete=b get=b delete=trap get=trap", nil),
		"get||"+ErrUnavailable.Error(), "get|parent's||<nil>", "set|||<nil>", "get|child's||<nil>",
		"delete|||<nil>", "get||not found", "delete|||<nil>", "get||not found")
	if got, err := k.Get(ctx, "a"); err != nil || string(got) != "child's" {
		t.Errorf("got %q, %v", got, err)
	}
	wantLines(t, k.as(t, "session", "delete-all", nil), "delete-all|||<nil>")
	if left := k.listed(t, false); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// anyUID is a user that nobody is.
func anyUID(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
	return fmt.Sprintf("uid=%d", 30000+os.Getpid()%30000)
}

// TestKernelOtherUser: who has another uid finds nothing, and may not read what
// they know the number of.
func TestKernelOtherUser(t *testing.T) {
	k := newKernel(t)
	uid := anyUID(t)
	must(t, k.Set(context.Background(), "a", []byte("secret")))
	wantLines(t, k.as(t, uid, fmt.Sprintf("get=a read=%d set=a get=a delete-all", k.find(t, "a")), nil),
		"get||not found", "read|||permission denied", "set|||<nil>", "get|child's||<nil>", "delete-all|||<nil>")
	if got, err := k.Get(context.Background(), "a"); err != nil || string(got) != "secret" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestKernelQuota: users have 200 keys and 20,000 bytes for all programs. Who
// has none left is told so, with the numbers.
func TestKernelQuota(t *testing.T) {
	k := newKernel(t)
	uid := anyUID(t)
	got := k.as(t, uid, "set=a fill set=a set=b get=a clear get=a", nil)
	wantLines(t, got, "set|||<nil>", "fill|||<nil>", "set||"+ErrUnavailable.Error(), "set||"+ErrUnavailable.Error(),
		"get|child's||<nil>", "clear|||<nil>", "get||not found")
	limit, err := os.ReadFile("/proc/sys/kernel/keys/maxbytes")
	must(t, err)
	for _, want := range []string{"/" + strings.TrimSpace(string(limit)) + " bytes", " keys", "keyctl show @u"} {
		if !strings.Contains(got[2], want) {
			t.Errorf("%q is not in %q", want, got[2])
		}
	}
}

// TestKernelReplaced: of a user's 200 keys those that were replaced count until
// the kernel has collected them. With room for one that is no quota used up.
func TestKernelReplaced(t *testing.T) {
	k := newKernel(t)
	const n = 20
	got := k.as(t, anyUID(t), "set=a set=b fill delete=b "+strings.Repeat("set=a ", n)+"clear", nil)
	want := slices.Concat([]string{"set|||<nil>", "set|||<nil>", "fill|||<nil>", "delete|||<nil>"},
		slices.Repeat([]string{"set|||<nil>"}, n), []string{"clear|||<nil>"})
	wantLines(t, got, want...)
}

// TestKernelNamespace: a rootless container has a keyring of its own. That is
// not a broken one.
func TestKernelNamespace(t *testing.T) {
	k := newKernel(t)
	must(t, k.Set(context.Background(), "a", []byte("outside")))
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	groups := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	got := k.as(t, "", "get=a set=a get=a delete=a get=a",
		&syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: groups})
	wantLines(t, got, "get||not found", "set|||<nil>", "get|child's||<nil>", "delete|||<nil>", "get||not found")
	if got, err := k.Get(context.Background(), "a"); err != nil || string(got) != "outside" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestKernelForbidden: docker forbids the calls with EPERM, other sandboxes
// with ENOSYS. The text names the system's word and the way out.
func TestKernelForbidden(t *testing.T) {
	k := newKernel(t)
	must(t, k.Set(context.Background(), "a", []byte("v")))
	for _, errno := range []syscall.Errno{unix.EPERM, unix.ENOSYS, unix.EACCES, unix.EOPNOTSUPP} {
		got := k.as(t, fmt.Sprintf("refused=%d", int(errno)), "get=a set=a delete=a delete-all", nil)
		no := "||" + ErrUnavailable.Error()
		wantLines(t, got, "get"+no, "set"+no, "delete"+no, "delete-all"+no)
		for _, line := range got {
			if !strings.Contains(line, errno.Error()) || !strings.Contains(line, "seccomp") {
				t.Error(line)
			}
		}
	}
}

// TestKernelKilled: whenever a writer is killed, no key is left that the
// kernel would keep until the machine restarts.
func TestKernelKilled(t *testing.T) {
	k := newKernel(t)
	for n := range 20 {
		cmd := child(t, "kernel", "KERNEL_SERVICE="+k.service, "KERNEL_DO=loop=a")
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		_, err = out.Read(make([]byte, 1))
		must(t, err)
		time.Sleep(time.Duration(n) * 137 * time.Microsecond)
		if n == 19 && len(k.listed(t, false)["a"]) == 0 { // on a busy machine none has come so far
			waitFor(t, "first key", func() bool { return len(k.listed(t, false)["a"]) > 0 })
		}
		must(t, cmd.Process.Kill())
		_ = cmd.Wait()
		for _, line := range k.listed(t, false)["a"] {
			if strings.Fields(line)[3] == "perm" {
				t.Fatalf("after kill %d: %s", n, line)
			}
		}
	}
	waitFor(t, "end of the keys that the killed had begun", func() bool {
		return !slices.ContainsFunc(k.listed(t, true)["a"], func(line string) bool { return strings.Fields(line)[3] == "perm" })
	})
}
