package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// newKernel is the kernel's real keyring under a service of the test's own,
// which is emptied at the end: it is the keyring of whoever runs the tests.
func newKernel(t testing.TB) *kernelKeyring {
	t.Helper()
	service := fmt.Sprintf("x509ch-test-%d-%s", os.Getpid(), strings.ReplaceAll(t.Name(), "/", "-"))
	k := NewKernelKeyring(KernelOptions{Service: service}).(*kernelKeyring)
	if _, err := k.Get(context.Background(), "probe"); errors.Is(err, ErrUnavailable) {
		if os.Getenv("X509CH_LAB") == "require" {
			t.Fatal(err)
		}
		t.Skip(err) // a container
	}
	t.Cleanup(func() {
		must(t, k.DeleteAll(context.Background()))
		if left := k.listed(t, false); len(left) != 0 {
			t.Errorf("left in the keyring: %v", left)
		}
	})
	return k
}

// listed are the lines of /proc/keys for the keys of the service, by account:
// those in @u that are alive, or all that the kernel has not collected yet.
func (k *kernelKeyring) listed(t testing.TB, dead bool) map[string][]string {
	t.Helper()
	ids, err := userKeys()
	must(t, err)
	data, err := os.ReadFile("/proc/keys")
	must(t, err)
	list := map[string][]string{}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 9 {
			continue
		}
		id, _ := strconv.ParseUint(f[0], 16, 31)
		alive := slices.Contains(ids, int(id)) && f[3] != "expd"
		if account, ours := strings.CutPrefix(f[8], k.service+":"); ours && (alive || dead) {
			account = strings.TrimSuffix(account, ":")
			list[account] = append(list[account], line)
		}
	}
	return list
}

func (k *kernelKeyring) find(t testing.TB, account string) int {
	t.Helper()
	id, err := unix.KeyctlSearch(unix.KEY_SPEC_USER_KEYRING, userType, k.description(account), 0)
	must(t, err)
	return id
}

func TestKernelRoundTrip(t *testing.T) {
	ctx, k := context.Background(), newKernel(t)
	want := func(value []byte) {
		t.Helper()
		got, err := k.Get(ctx, "a")
		switch {
		case value == nil && !errors.Is(err, ErrNotFound):
			t.Errorf("got %q, %v instead of nothing", got, err)
		case value != nil && (err != nil || !bytes.Equal(got, value)):
			t.Errorf("got %q, %v; want %q", got, err, value)
		}
	}
	want(nil)
	for _, value := range [][]byte{[]byte("one"), {0, 255, '\n'}, bytes.Repeat([]byte("x"), MaxSecret), []byte("two")} {
		must(t, k.Set(ctx, "a", value))
		want(value)
	}
	if err := k.Set(ctx, "a", make([]byte, MaxSecret+1)); !errors.Is(err, ErrTooBig) {
		t.Errorf("too big: %v", err)
	}
	want([]byte("two"))
	must(t, k.Set(ctx, "b", []byte("other")))
	must(t, k.Delete(ctx, "a"))
	must(t, k.Delete(ctx, "a"))
	want(nil)
	if got, err := k.Get(ctx, "b"); err != nil || string(got) != "other" {
		t.Errorf("the other one: %q, %v", got, err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err := k.Get(cancelled, "b")
	for what, err := range map[string]error{"Get": err, "Set": k.Set(cancelled, "b", nil), "Delete": k.Delete(cancelled, "b"), "DeleteAll": k.DeleteAll(cancelled)} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestKernelTimeLimit: every key has one, also one that replaced another, and
// the permissions that other sessions need. 0 is for ever to the kernel.
func TestKernelTimeLimit(t *testing.T) {
	ctx, k := context.Background(), newKernel(t)
	must(t, k.SetFor(ctx, "short", []byte("v"), 90*time.Second))
	if err := k.SetFor(ctx, "tiny", []byte("v"), time.Millisecond); err != nil && !errors.Is(err, ErrNotFound) {
		t.Error(err) // it is a second, which may be over by now
	}
	must(t, k.SetFor(ctx, "long", []byte("v"), 1000*time.Hour))
	must(t, k.Set(ctx, "day", []byte("v")))
	must(t, k.SetFor(ctx, "replaced", []byte("v"), time.Hour))
	must(t, k.Set(ctx, "replaced", []byte("w")))
	for account, allowed := range map[string]string{"short": "1m 89s 88s 87s", "long": "23h 24h 1d", "day": "23h 24h 1d", "replaced": "23h 24h 1d"} {
		lines := k.listed(t, false)[account]
		if len(lines) != 1 {
			t.Errorf("%s: %q", account, lines)
			continue
		}
		f := strings.Fields(lines[0])
		if !strings.Contains(" "+allowed+" ", " "+f[3]+" ") || f[4] != "3f0b0000" {
			t.Errorf("%s: %s", account, lines[0])
		}
	}
	for _, ttl := range []time.Duration{0, -time.Second} {
		if err := k.SetFor(ctx, "never", []byte("v"), ttl); err == nil {
			t.Errorf("kept for %v", ttl)
		}
	}
}

func TestKernelExpires(t *testing.T) {
	ctx, k := context.Background(), newKernel(t)
	must(t, k.SetFor(ctx, "a", []byte("v"), 2*time.Second))
	waitFor(t, "end of the key", func() bool {
		_, err := k.Get(ctx, "a")
		return errors.Is(err, ErrNotFound)
	})
	must(t, k.Set(ctx, "a", []byte("next"))) // in the place of the expired one
	if got, err := k.Get(ctx, "a"); err != nil || string(got) != "next" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestKernelReplacing: whoever reads while others write gets one value or the
// other, never a miss: a miss would make a new data key.
func TestKernelReplacing(t *testing.T) {
	ctx, k := context.Background(), newKernel(t)
	must(t, k.Set(ctx, "a", []byte("same")))
	stop := make(chan struct{})
	var writers []<-chan error
	for range 2 {
		writers = append(writers, safego.Go(func() error {
			for {
				select {
				case <-stop:
					return nil
				default:
				}
				if err := k.Set(ctx, "a", []byte("same")); err != nil {
					return err
				}
				time.Sleep(time.Millisecond) // leaves something of the quota to others
			}
		}))
	}
	for range 5000 {
		if got, err := k.Get(ctx, "a"); err != nil || string(got) != "same" {
			t.Errorf("got %q, %v", got, err)
			break
		}
	}
	close(stop)
	for _, w := range writers {
		must(t, <-w)
	}
}

// TestKernelUnsafe: a key that others may read or change is no secret, and one
// of somebody else is not our key.
func TestKernelUnsafe(t *testing.T) {
	ctx, k := context.Background(), newKernel(t)
	tests := map[string]func(t *testing.T, id int) error{
		"group":    func(_ *testing.T, id int) error { return unix.KeyctlSetperm(id, ownPerm|0x0000_0200) },
		"everyone": func(_ *testing.T, id int) error { return unix.KeyctlSetperm(id, ownPerm|0x0000_0008) },
		"foreign owner": func(t *testing.T, id int) error {
			if os.Geteuid() != 0 {
				t.Skip("only root can give a key away")
			}
			_, err := unix.KeyctlInt(unix.KEYCTL_CHOWN, id, 65534, -1, 0)
			return err
		},
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			must(t, k.Set(ctx, "a", []byte("v")))
			must(t, spoil(t, k.find(t, "a")))
			got, err := k.Get(ctx, "a")
			if !errors.As(err, new(*safefile.UnsafeError)) || errors.Is(err, ErrNotFound) || got != nil {
				t.Errorf("got %q, %v", got, err)
			}
			must(t, k.Set(ctx, "a", []byte("new"))) // replaces it
			if got, err := k.Get(ctx, "a"); err != nil || string(got) != "new" {
				t.Errorf("replaced: %q, %v", got, err)
			}
			must(t, spoil(t, k.find(t, "a")))
			must(t, k.Delete(ctx, "a"))
		})
	}
}

// TestKernelDeleteAll: all keys of the service and nothing else of the user's.
func TestKernelDeleteAll(t *testing.T) {
	ctx, k := context.Background(), newKernel(t)
	other := &kernelKeyring{service: k.service + "2"}
	t.Cleanup(func() { must(t, other.DeleteAll(ctx)) })
	must(t, other.Set(ctx, "a", []byte("v")))
	n := 300 // more than fit into the first buffer
	if os.Geteuid() != 0 {
		n = 50 // others may have 200 in all
	}
	for n := range n {
		must(t, k.Set(ctx, strconv.Itoa(n), []byte("v")))
	}
	must(t, k.DeleteAll(ctx))
	if left := k.listed(t, false); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := other.Get(ctx, "a"); err != nil {
		t.Errorf("the other service: %v", err)
	}
}

func TestCheckKey(t *testing.T) {
	for text, ok := range map[string]bool{
		"user;7;8;3f0b0000;s:a":    true,
		"user;7;8;3f3f0000;s:a":    true,
		"user;7;8;3f0b0100;s:a":    false,
		"user;7;8;3f0b0001;s:a":    false,
		"user;0;8;3f0b0000;s:a":    false,
		"user;7;8;3f0b0000;s:b":    false,
		"user;7;8;3f0b0000;s:a;":   false,
		"keyring;7;8;3f0b0000;s:a": false,
		"user;-7;8;3f0b0000;s:a":   false,
		"user;7;8;zzz;s:a":         false,
		"user;7;8":                 false,
		"":                         false,
	} {
		err := checkKey(text, "s:a", 7)
		if (err == nil) != ok || err != nil && !errors.As(err, new(*safefile.UnsafeError)) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestParseQuota(t *testing.T) {
	const real = "    0:    13 12/12 4/1000000 60/25000000\n 1000:    27 27/27 200/200 532/20000\n"
	if q, ok := parseQuota(real, 1000); !ok || q.keys != "200/200" || q.bytes != "532/20000" {
		t.Errorf("got %v, %v", q, ok)
	}
	for _, text := range []string{"", "1000: 1 1/1 1/1\n", "1000: 1 1/1 x/y 1/2\n", "1000: 1 1/1 1 1/2\n", "11000: 1 1/1 1/1 1/2\n"} {
		if q, ok := parseQuota(text, 1000); ok {
			t.Errorf("%q: got %v", text, q)
		}
	}
}

func FuzzKernelText(f *testing.F) {
	f.Add("user;1000;100;3f0b0000;x509-credential-helper:data-key:v1")
	f.Add(" 1000:    27 27/27 9/200 532/20000\n")
	f.Fuzz(func(t *testing.T, text string) {
		if d, ok := parseKey(text); ok && !strings.HasSuffix(text, ";"+d.description) {
			t.Errorf("%q: %+v", text, d)
		}
		if err := checkKey(text, "s:a", 1000); err == nil && !strings.HasPrefix(text, "user;") {
			t.Errorf("accepted %q", text)
		}
		if q, ok := parseQuota(text, 1000); ok && (!strings.Contains(text, q.keys) || !strings.Contains(q.bytes, "/")) {
			t.Errorf("%q: %+v", text, q)
		}
	})
}
