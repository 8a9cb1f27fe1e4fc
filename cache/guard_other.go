//go:build !unix || darwin

package cache

import "context"

// preflight has nothing to look at here: macOS runs /usr/bin/security, Windows
// calls its credential manager. The deadline and the read-back remain.
func (k *osKeyring) preflight(context.Context) (restore func(), err error) {
	return func() {}, nil
}

// itemVanished: an item is found and used in one call here.
func itemVanished(context.Context, error) bool { return false }

// countItems has no list to look at. If the data key is gone, all are.
func (k *osKeyring) countItems(_ context.Context, account string) (int, error) {
	if account == "" {
		account = dataKeyAccount
	}
	return k.found(account)
}
