package cache

import (
	"context"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

// kernelKeyring keeps secrets as keys of type "user" in the user's keyring of
// the Linux kernel, @u: memory of the kernel that is never on a disk, that all
// processes of the user see and nobody else, and that is gone after a restart.
// Calls take microseconds and wait for nobody, so there is no guard.
type kernelKeyring struct{ service string }

// NewKernelKeyring returns the Linux kernel's keyring. It does no I/O until it
// is used. Set is SetFor 24 hours, the longest time that SetFor grants.
func NewKernelKeyring(o KernelOptions) TimedStore {
	if o.Service == "" {
		o.Service = Service
	}
	return &kernelKeyring{service: o.Service}
}

const (
	userType = "user"
	// ownPerm lets the user's processes see, find and read a key, also from a
	// session that does not possess @u. With the kernel's default a session of
	// its own, as sshd, systemd and pam_keyinit make, finds the key but gets
	// EACCES for its value (measured with 6.18).
	ownPerm = 0x3f0b0000
	// otherPerm are the permissions of the group and of everybody.
	otherPerm = 0x0000ffff
)

// Name is "kernel".
func (k *kernelKeyring) Name() string { return "kernel" }

func (k *kernelKeyring) description(account string) string { return k.service + ":" + account }

// Get returns the secret kept for account.
func (k *kernelKeyring) Get(ctx context.Context, account string) ([]byte, error) {
	for tries := 0; ; tries++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		id, err := unix.KeyctlSearch(unix.KEY_SPEC_USER_KEYRING, userType, k.description(account), 0)
		if err != nil {
			return nil, k.classify(account, err)
		}
		value, err := k.read(id, account)
		if isGone(err) && tries < 10 {
			continue // replaced after it was found: there is another one
		}
		return value, k.classify(account, err)
	}
}

// read returns the value of a key after a look at who else could have made or
// read it.
func (k *kernelKeyring) read(id int, account string) ([]byte, error) {
	text, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, id)
	if err != nil {
		return nil, err
	}
	if err := checkKey(text, k.description(account), os.Geteuid()); err != nil {
		return nil, err
	}
	value := make([]byte, MaxSecret)
	n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, id, value, 0)
	if err != nil {
		return nil, err
	}
	if n > len(value) { // the size that it would need
		return nil, tooBig(n, MaxSecret)
	}
	return value[:n], nil
}

// Set keeps secret for a day.
func (k *kernelKeyring) Set(ctx context.Context, account string, secret []byte) error {
	return k.SetFor(ctx, account, secret, kernelTTL)
}

// SetFor keeps secret for ttl, in whole seconds and for a day at most, and
// reads it back.
func (k *kernelKeyring) SetFor(ctx context.Context, account string, secret []byte, ttl time.Duration) error {
	if len(secret) > MaxSecret {
		return tooBig(len(secret), MaxSecret)
	}
	if ttl <= 0 {
		return fmt.Errorf("a key cannot be kept for %v", ttl) // 0 is for ever to the kernel
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	seconds := max(1, int(min(ttl, kernelTTL)/time.Second))
	if err := k.placePatiently(ctx, account, secret, seconds); err != nil {
		return k.classify(account, err)
	}
	back, err := k.Get(ctx, account)
	if err != nil {
		return err
	}
	defer clear(back)
	if subtle.ConstantTimeCompare(back, secret) != 1 {
		return kernelUnavailable("the kernel's keyring did not keep what it was given", errNotKept)
	}
	return nil
}

// A key that was replaced counts towards the user's quota, of 200 keys, until
// the kernel has collected it. Measured: 197 replacements in 28 ms use it up,
// and a moment later 4 keys are left.
const (
	quotaTries = 10
	quotaPause = 10 * time.Millisecond
)

// placePatiently gives the kernel time to collect what was replaced. A quota
// that other keys use up is an error after that time.
func (k *kernelKeyring) placePatiently(ctx context.Context, account string, secret []byte, seconds int) error {
	for tries := 1; ; tries++ {
		err := k.place(account, secret, seconds)
		if tries == quotaTries || !errors.Is(err, unix.EDQUOT) {
			return err
		}
		select {
		case <-time.After(quotaPause):
		case <-ctx.Done():
			return err
		}
	}
}

// place makes the key in the keyring of this thread, finishes it there, and
// only then links it to @u, which replaces what is there under its description
// in one step. A key that add_key(2) puts into @u, or changes there, has no
// time limit until the next call gives it one; a process killed in between
// would leave it until the machine restarts. The thread's keyring ends with the
// thread.
func (k *kernelKeyring) place(account string, secret []byte, seconds int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	id, err := unix.AddKey(userType, k.description(account), secret, unix.KEY_SPEC_THREAD_KEYRING)
	if err != nil {
		return err
	}
	defer func() { _, _ = unix.KeyctlInt(unix.KEYCTL_UNLINK, id, unix.KEY_SPEC_THREAD_KEYRING, 0, 0) }()
	if _, err := unix.KeyctlInt(unix.KEYCTL_SET_TIMEOUT, id, seconds, 0, 0); err != nil {
		return err
	}
	if err := unix.KeyctlSetperm(id, ownPerm); err != nil {
		return err
	}
	_, err = unix.KeyctlInt(unix.KEYCTL_LINK, id, unix.KEY_SPEC_USER_KEYRING, 0, 0)
	return err
}

// Delete forgets account.
func (k *kernelKeyring) Delete(ctx context.Context, account string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	id, err := unix.KeyctlSearch(unix.KEY_SPEC_USER_KEYRING, userType, k.description(account), 0)
	if err == nil {
		err = destroy(id)
	}
	if isGone(err) {
		return nil
	}
	return k.classify(account, err)
}

// DeleteAll forgets every key of the service.
func (k *kernelKeyring) DeleteAll(ctx context.Context) error {
	ids, err := userKeys()
	if err != nil {
		return k.classify("", err)
	}
	var failed error
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return err
		}
		text, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, id)
		if err != nil {
			continue // gone, or one that we may not even see
		}
		if d, ok := parseKey(text); !ok || d.kind != userType || !strings.HasPrefix(d.description, k.service+":") {
			continue
		}
		if err := destroy(id); err != nil && !isGone(err) {
			failed = errors.Join(failed, k.classify("", err))
		}
	}
	return failed
}

// destroy takes a key away from everybody who has a link to it, and out of @u.
// A session that does not possess the key may do both, but not revoke it.
func destroy(id int) error {
	_, invalid := unix.KeyctlInt(unix.KEYCTL_INVALIDATE, id, 0, 0, 0)
	_, err := unix.KeyctlInt(unix.KEYCTL_UNLINK, id, unix.KEY_SPEC_USER_KEYRING, 0, 0)
	if err == nil || isGone(invalid) || invalid == nil && err == unix.ENOENT {
		return nil
	}
	return err
}

// userKeys are the numbers of the keys in @u.
func userKeys() ([]int, error) {
	buf := make([]byte, 4*256)
	for {
		n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, unix.KEY_SPEC_USER_KEYRING, buf, 0)
		if err != nil {
			return nil, err
		}
		if n > len(buf) { // the size that it would need, which may have grown
			buf = make([]byte, n+4*64)
			continue
		}
		var ids []int
		for ; n >= 4; n -= 4 {
			ids = append(ids, int(int32(binary.NativeEndian.Uint32(buf[n-4:n]))))
		}
		return ids, nil
	}
}

// keyText is what KEYCTL_DESCRIBE says of a key.
type keyText struct {
	kind        string
	uid         int
	perm        uint32
	description string
}

// parseKey reads "type;uid;gid;perm;description", where perm is hexadecimal.
func parseKey(text string) (keyText, bool) {
	f := strings.SplitN(text, ";", 5)
	if len(f) != 5 {
		return keyText{}, false
	}
	uid, err1 := strconv.ParseUint(f[1], 10, 32)
	perm, err2 := strconv.ParseUint(f[3], 16, 32)
	return keyText{kind: f[0], uid: int(uid), perm: uint32(perm), description: f[4]}, err1 == nil && err2 == nil
}

// checkKey judges a key that was found: ours, and closed to everybody else. A
// link in @u can lead to a key that others made or can change.
func checkKey(text, description string, uid int) error {
	d, ok := parseKey(text)
	path := fmt.Sprintf("the kernel's key %q", description)
	switch {
	case !ok || d.kind != userType || d.description != description:
		return &safefile.UnsafeError{Path: path, Reason: fmt.Sprintf("it describes itself as %q", text)}
	case d.uid != uid:
		return &safefile.UnsafeError{Path: path, Reason: fmt.Sprintf("it belongs to uid %d, we are %d", d.uid, uid)}
	case d.perm&otherPerm != 0:
		return &safefile.UnsafeError{Path: path, Reason: fmt.Sprintf("its permissions %08x let others in", d.perm)}
	}
	return nil
}

// isGone: there is no such key, or no longer.
func isGone(err error) bool {
	return errors.Is(err, unix.ENOKEY) || errors.Is(err, unix.EKEYEXPIRED) || errors.Is(err, unix.EKEYREVOKED)
}

// classify turns what the kernel says into the kinds of this package.
func (k *kernelKeyring) classify(account string, err error) error {
	var errno unix.Errno
	switch {
	case err == nil, !errors.As(err, &errno):
		return err
	case isGone(err):
		return &Error{Kind: ErrNotFound, Text: fmt.Sprintf("the kernel's keyring has no key %q", account), Remedy: "store it first"}
	case errno == unix.EDQUOT:
		return kernelFull(os.Geteuid())
	case errno == unix.EPERM, errno == unix.ENOSYS, errno == unix.EACCES, errno == unix.EOPNOTSUPP:
		return kernelUnavailable("the kernel's keyring may not be used here", err)
	}
	return kernelUnavailable("the kernel's keyring cannot be used", err)
}

func kernelUnavailable(text string, err error) error {
	return &Error{Kind: ErrUnavailable, Text: text, Err: err,
		Remedy: `allow keyctl in the seccomp profile of the container, or do without: set credentials to "runtime"`}
}

// kernelFull is a quota that is used up. It is the user's, for all programs.
func kernelFull(uid int) error {
	text := "the user's quota of the kernel's keyring is used up"
	if data, err := os.ReadFile("/proc/key-users"); err == nil {
		if q, ok := parseQuota(string(data), uid); ok {
			text += fmt.Sprintf(" (%s keys, %s bytes)", q.keys, q.bytes)
		}
	}
	return &Error{Kind: ErrUnavailable, Text: text, Err: unix.EDQUOT,
		Remedy: "see what is there with: keyctl show @u; remove what is not needed, or ask for more in /proc/sys/kernel/keys/maxkeys and maxbytes"}
}

// quota is what a user has and may have, each as "used/limit".
type quota struct{ keys, bytes string }

// parseQuota reads /proc/key-users, which has lines such as
// "1000:    27 27/27 9/200 532/20000".
func parseQuota(text string, uid int) (quota, bool) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 5 && f[0] == strconv.Itoa(uid)+":" {
			return quota{keys: f[3], bytes: f[4]}, isRatio(f[3]) && isRatio(f[4])
		}
	}
	return quota{}, false
}

func isRatio(s string) bool {
	used, limit, ok := strings.Cut(s, "/")
	_, err1 := strconv.ParseUint(used, 10, 64)
	_, err2 := strconv.ParseUint(limit, 10, 64)
	return ok && err1 == nil && err2 == nil
}
