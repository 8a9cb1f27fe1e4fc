// Package cache keeps credentials between calls, and the secrets that fetch
// new ones.
//
// A credential of 6 to 12 kB does not fit into the keyrings of macOS (3006
// bytes) and Windows (2560). So it is a file sealed with AES-256-GCM, and only
// the 32-byte data key is an item of the operating system's keyring. Pass
// phrases and tokens are keyring items themselves and never files.
//
// Guarantees:
//   - A sealed entry answers for the binding it was stored under and for no
//     other; whatever is wrong with its content makes it a miss. A file with
//     the wrong owner, mode, link count or type is a *safefile.UnsafeError.
//   - No dialog is raised and nothing waits longer than 3 seconds for the
//     keyring unless the context allows a prompt (AllowPrompt). A locked
//     keyring is ErrLocked at once. No D-Bus daemon is ever started.
//   - The data key is made once, whoever asks for it at the same time, and
//     never because the keyring was locked or did not answer.
//   - Secrets are read back after they were written.
//   - Locks end with their process. They are always taken in this order: the
//     entry (who fetches), then the secret (who may use or change it).
//
// Nothing here knows a server or parses more of a certificate than the end of
// its validity.
//
//	c := cache.New(cache.Options{
//		Credentials: cache.Keyring,
//		Passphrases: cache.Keyring,
//		CacheDir:    func() (string, error) { return "/home/jane/.cache/x509-credential-helper", nil },
//		RuntimeDir:  func() (string, error) { return safefile.RuntimeDir("", os.Getenv) },
//		Keys:        cache.NewKeyring(cache.KeyringOptions{UID: os.Getuid()}),
//	})
//	e, err := c.Get(ctx, binding)
//	if errors.Is(err, cache.ErrNotFound) {
//		lock, err := c.LockEntry(ctx, binding)
//		// look again, then fetch, c.Put, lock.Close
//	}
package cache
