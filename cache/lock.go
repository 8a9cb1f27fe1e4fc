package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

// maxLockFile bounds what a lock's file holds, in bytes.
const maxLockFile = 256 << 10

func (c *Cache) lockDir() (*safefile.Dir, error) {
	return subDir(c.o.LockDir, "lock")
}

func subDir(root func() (string, error), name string) (*safefile.Dir, error) {
	path, err := root()
	if err != nil {
		return nil, noPlace{err}
	}
	dir, err := safefile.MakeDir(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.Sub(name)
}

// lock waits for a lock as long as ctx lets it; a deadline is ErrBusy.
func (c *Cache) lock(ctx context.Context, name string) (*safefile.Lock, error) {
	dir, err := c.lockDir()
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	lock, err := dir.Lock(ctx, name)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, &Error{Kind: ErrBusy, Text: "another process is at the same work and did not end in time",
			Remedy: `try again, or allow more time with "timeout"`, Err: context.DeadlineExceeded}
	}
	return lock, err
}

// tryLock takes a lock that nobody has.
func (c *Cache) tryLock(name string) (*safefile.Lock, error) {
	dir, err := c.lockDir()
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.TryLock(name)
}

// secretLockPrefix begins the names of the locks of secrets.
const secretLockPrefix = "secret-"

func lockName(kind string, id []byte) string {
	sum := sha256.Sum256(id)
	return kind + "-" + hex.EncodeToString(sum[:]) + ".lock"
}

// EntryLock is the right to fetch the credential of one binding.
type EntryLock struct {
	c    *Cache
	lock *safefile.Lock
	rec  entryRecord
}

// entryRecord is what the lock's file keeps from one holder to the next.
type entryRecord struct {
	V       int      `json:"v"`
	Failure *failure `json:"failure,omitempty"`
	State   []byte   `json:"state,omitempty"`
}

type failure struct {
	At     Instant `json:"at"`
	Record []byte  `json:"record"`
}

// LockEntry waits for the right to fetch. A deadline of ctx that runs out is
// ErrBusy. After it, look into the cache again, and at Failure.
func (c *Cache) LockEntry(ctx context.Context, b Binding) (*EntryLock, error) {
	lock, err := c.lock(ctx, lockName("entry", b.canon()))
	if err != nil {
		return nil, err
	}
	return c.entryLock(lock)
}

// TryLockEntry takes the right to fetch if nobody has it, else it is ErrBusy
// at once.
func (c *Cache) TryLockEntry(b Binding) (*EntryLock, error) {
	lock, err := c.tryLock(lockName("entry", b.canon()))
	if errors.Is(err, safefile.ErrLocked) {
		return nil, &Error{Kind: ErrBusy, Text: "another process is fetching this credential", Remedy: "try again"}
	}
	if err != nil {
		return nil, err
	}
	return c.entryLock(lock)
}

func (c *Cache) entryLock(lock *safefile.Lock) (*EntryLock, error) {
	data, err := lock.Read(maxLockFile)
	if err != nil && !errors.Is(err, safefile.ErrTooLarge) {
		_ = lock.Close()
		return nil, err
	}
	return &EntryLock{c: c, lock: lock, rec: parseEntryRecord(data)}, nil
}

// parseEntryRecord takes what is damaged, cut off by a crash or of another
// version for nothing.
func parseEntryRecord(data []byte) entryRecord {
	var rec entryRecord
	if json.Unmarshal(data, &rec) != nil || rec.V != 1 {
		return entryRecord{V: 1}
	}
	return rec
}

// Failure returns the record of a holder that failed after started: who waited
// meanwhile shares its failure instead of asking the server again. A later
// process tries anew. A record from the future is one of before a restart, on
// systems whose starts all have the same name.
func (l *EntryLock) Failure(started Instant) ([]byte, bool) {
	f := l.rec.Failure
	if f == nil || !f.At.after(started) || f.At.after(l.c.Now()) {
		return nil, false
	}
	return f.Record, true
}

// Fail leaves a record for those who are waiting. What one caller decided for
// itself, its deadline or an interrupt, is no failure to share.
func (l *EntryLock) Fail(record []byte) error {
	l.rec.Failure = &failure{At: l.c.Now(), Record: record}
	return l.save()
}

// State returns what a holder kept for the next, or nil.
func (l *EntryLock) State() []byte { return l.rec.State }

// SetState keeps something for the next holder; nil forgets it.
func (l *EntryLock) SetState(state []byte) error {
	l.rec.State = state
	return l.save()
}

func (l *EntryLock) save() error {
	data, err := json.Marshal(l.rec)
	if err != nil {
		return err
	}
	if len(data) > maxLockFile {
		return errors.New("the record of a fetch is too big to be kept")
	}
	return l.lock.Write(data)
}

// Close gives the right back.
func (l *EntryLock) Close() error { return l.lock.Close() }
