package cache

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// A server that replaces a refresh token forgets the old one at once. If the
// keyring does not take the new one then, the session is lost; so the new one
// is sealed in a file, and the next who wants it moves it to the keyring.

// rescuePrefix begins the names of such files.
const rescuePrefix = "rescue-"

func isRescue(name string) bool {
	stem, ok := strings.CutPrefix(name, rescuePrefix)
	stem, sealed := strings.CutSuffix(stem, ".xche")
	return ok && sealed && isHex(stem, 64)
}

func rescueName(id [32]byte) string {
	return rescuePrefix + hex.EncodeToString(id[:]) + ".xche"
}

// rescueItem is what is sealed. Rotate learns from it whose it is.
type rescueItem struct {
	V       int    `json:"v"`
	Account string `json:"account"`
	Secret  []byte `json:"secret"`
}

func parseRescue(plain []byte) (account string, s secret.Secret, ok bool) {
	var item rescueItem
	if json.Unmarshal(plain, &item) != nil || item.V != 1 || item.Account == "" {
		return "", nil, false
	}
	return item.Account, item.Secret, true
}

// rescued is a secret in a file.
type rescued struct {
	*drawer
	file    string
	account string
	secret  secret.Secret
}

// settle moves the secret to the keyring, which reads it back. A file that came
// back later would be taken for the newer one.
func (r *rescued) settle(ctx context.Context, keys KeyStore) error {
	if err := keys.Set(ctx, r.account, r.secret); err != nil {
		return err
	}
	return r.dir.Forget(r.file)
}

// replace puts another secret into the keyring. Until it is there it is the
// rescued one: at no moment an older one comes back over a newer.
func (r *rescued) replace(ctx context.Context, keys KeyStore, s secret.Secret) error {
	if err := r.saveRescue(r.account, s); err != nil {
		// Without room for a file the older one goes before the newer comes.
		if failed := r.settle(ctx, keys); failed != nil {
			return errors.Join(err, failed)
		}
		return keys.Set(ctx, r.account, s)
	}
	if err := keys.Set(ctx, r.account, s); err != nil {
		return errors.Join(err, r.saveRescue(r.account, r.secret))
	}
	return r.dir.Forget(r.file)
}

func (d *drawer) saveRescue(account string, s secret.Secret) error {
	plain, err := json.Marshal(rescueItem{V: 1, Account: account, Secret: s})
	if err != nil {
		return err
	}
	defer clear(plain)
	id := d.key.rescueID(account)
	sealed, err := d.key.seal(id, plain)
	if err != nil {
		return err
	}
	return d.dir.Write(rescueName(id), sealed)
}

// loadRescue reads a rescued secret. What is wrong with it is errDamaged.
func (d *drawer) loadRescue(file string) (*rescued, error) {
	sealed, err := d.dir.Read(file, maxEntry)
	if errors.Is(err, safefile.ErrTooLarge) {
		return nil, errDamaged
	}
	if err != nil {
		return nil, err
	}
	plain, err := d.key.open(idOf(strings.TrimPrefix(file, rescuePrefix)), sealed)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	account, s, ok := parseRescue(plain)
	if !ok || rescueName(d.key.rescueID(account)) != file {
		return nil, fmt.Errorf("%w: no rescued secret", errDamaged)
	}
	return &rescued{drawer: d, file: file, account: account, secret: s}, nil
}

// Ready makes sure, before a server is asked to replace the secret, that the
// new one can be kept: the keyring takes mark, and the key for Rescue is at
// hand. A mark of nil is the present secret, read again: it may have been
// replaced. The file of one that was rescued before must go: it would come back
// over the new.
func (l *SecretLock) Ready(ctx context.Context, mark secret.Secret) error {
	if err := l.c.kept(); err != nil {
		return err
	}
	if err := l.readyRescue(ctx); err != nil {
		return err
	}
	if mark != nil {
		return l.Put(ctx, mark)
	}
	r, err := l.rescued(ctx)
	if err != nil {
		return err
	}
	if r != nil {
		defer r.close()
		defer r.secret.Wipe()
		return r.settle(ctx, l.c.o.Keys)
	}
	s, err := l.c.Secret(ctx, l.account)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer s.Wipe()
	return l.c.o.Keys.Set(ctx, l.account, s)
}

// readyRescue waits for a Rotate that is under way. One that comes later finds
// our lock taken.
func (l *SecretLock) readyRescue(ctx context.Context) error {
	lock, err := l.c.lock(ctx, dataKeyLock)
	if err != nil {
		return err
	}
	defer lock.Close()
	key, err := l.c.long.makeLocked(ctx)
	l.rescuer, err = l.c.long.remember(key, err)
	return err
}

// Rescue keeps a secret that the keyring did not take, in a sealed file. It
// needs no keyring, but a Ready before it.
func (l *SecretLock) Rescue(s secret.Secret) error {
	if l.rescuer == nil {
		return errors.New("the secret cannot be rescued: nothing was made ready for it")
	}
	d, err := l.c.longShelf().opened(l.rescuer, safefile.MakeDir, (*safefile.Dir).Sub)
	if err != nil {
		return err
	}
	defer d.close()
	return d.saveRescue(l.account, s)
}

// rescued finds the rescued secret of the account, or nil. The keyring is
// asked only if there is any at all.
func (l *SecretLock) rescued(ctx context.Context) (*rescued, error) {
	if l.c.kept() != nil {
		return nil, nil
	}
	any, err := l.c.anyRescued()
	if errors.As(err, new(noPlace)) {
		return nil, nil // a machine without homes has pass phrases, too
	}
	if !any || err != nil {
		return nil, err
	}
	d, err := l.c.longShelf().openReally(ctx)
	if isAbsent(err) {
		return nil, nil // it is another host's
	}
	if err != nil {
		return nil, err
	}
	r, err := d.loadRescue(rescueName(d.key.rescueID(l.account)))
	if err == nil {
		return r, nil
	}
	d.close()
	if isAbsent(err) || errors.Is(err, errDamaged) {
		return nil, nil
	}
	return nil, err
}

// anyRescued says whether there is a rescued secret of anybody's. A directory
// that somebody else can write to may hide one that is newer than the keyring's.
func (c *Cache) anyRescued() (bool, error) {
	version, err := openVersion(c.o.CacheDir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer version.Close()
	names, err := version.Names()
	for _, name := range names {
		if !strings.HasPrefix(name, longPrefix) {
			continue
		}
		dir, err := version.OpenSub(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, err
		}
		files, err := dir.Names()
		_ = dir.Close()
		for _, f := range files {
			if isRescue(f) {
				return true, nil
			}
		}
		if err != nil {
			return false, err
		}
	}
	return false, err
}
