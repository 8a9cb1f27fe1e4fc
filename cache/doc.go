// Package cache keeps credentials between calls, and the secrets that fetch
// new ones.
//
// A credential of 6 to 12 kB does not fit into the keyrings of macOS (3006
// bytes) and Windows (2560). So it is a file sealed with AES-256-GCM, and only
// the 32-byte data key is an item of the operating system's keyring. Pass
// phrases and tokens are keyring items themselves and never files.
//
// # Shelves
//
// Where credentials are kept is a list of shelves, each of them a directory
// and a way to write there. Auto has the first three and goes on where one
// cannot be used; the other stores have one of them.
//
//	keyring  CacheDir/v1/KID/ID.xche       sealed, key in the keyring
//	kernel   CacheDir/v1/KID/ID.xche       sealed, key in the Linux kernel for 24 h
//	runtime  RuntimeDir/entry/ID.cred      plain
//	file     the same in a directory that need not be in memory; no keyring is asked
//	(long)   CacheDir/v1/long-KID/ID.xche  sealed, second key in the keyring
//
// KID is derived from the key: hosts with keyrings of their own share one home
// without seeing each other's files. What lives longer than 24 hours goes only
// to the last shelf, which Passphrases opens, or nowhere: its key is never
// copied to the kernel.
//
// Of several entries of one binding the newest answers. Put removes the others
// where it can; the one that a locked keyring hides is older by its time.
//
// # Guarantees
//
//   - A sealed entry answers for the binding it was stored under and for no
//     other; whatever is wrong with its content makes it a miss. A file with
//     the wrong owner, mode, link count or type is a *safefile.UnsafeError,
//     and never a reason to look on the next shelf.
//   - No dialog is raised and nothing waits longer than 3 seconds for the
//     keyring unless the context allows a prompt (AllowPrompt). A locked
//     keyring is ErrLocked at once. No D-Bus daemon is ever started.
//   - A data key is made once, whoever asks for it at the same time, and
//     never because the keyring was locked or did not answer.
//   - A warm Get reads one item of the keyring. With KeyTTL the kernel has a
//     copy of that key, for so long after it was read and not after it was
//     used, and a warm Get reads none. Put always reads the keyring.
//   - Secrets are read back after they were written. One that the keyring
//     does not take, though a server has forgotten the one before, is sealed
//     in a file beside the long-lived entries (SecretLock.Ready, Rescue) and
//     moved to the keyring by the next who wants it.
//   - The long-lived credential of a session (SecretLock.PutLong) is an entry
//     under the long data key that no binding of a profile names: List does not
//     know it, and it goes with its secret.
//   - Rotate and EraseAll may be killed at any moment: entries may be misses
//     then, rescued secrets are not lost to a rotation.
//   - Locks end with their process. They are always taken in this order: the
//     entry (who fetches), the secret (who may use or change it), the data
//     keys (who makes or replaces them). Rotate has the last and waits for no
//     other.
//
// Nothing here knows a server or parses more of a certificate than the end of
// its validity.
//
//	c := cache.New(cache.Options{
//		Credentials: cache.Auto,
//		Passphrases: cache.Keyring,
//		CacheDir:    func() (string, error) { return "/home/jane/.cache/x509-credential-helper", nil },
//		RuntimeDir:  func() (string, error) { return safefile.RuntimeDir("", os.Getenv) },
//		Keys:        cache.NewKeyring(cache.KeyringOptions{UID: os.Getuid()}),
//		Kernel:      cache.NewKernelKeyring(cache.KernelOptions{}),
//	})
//	e, err := c.Get(ctx, binding)
//	if errors.Is(err, cache.ErrNotFound) {
//		lock, err := c.LockEntry(ctx, binding)
//		// look again, then fetch, c.Put, lock.Close
//	}
package cache
