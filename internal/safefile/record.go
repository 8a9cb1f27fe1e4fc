package safefile

import (
	"errors"
	"io/fs"
	"time"
)

// recordSuffix names the file of a lock's record. It is not the lock's own file:
// that must stay the same one, and a record is replaced by a new file, so that
// a full disk or a kill -9 leaves the old one or the new one.
const recordSuffix = ".rec"

// Read returns the lock's record, of at most max bytes; none is empty.
func (l *Lock) Read(max int64) ([]byte, error) {
	data, err := l.dir.Read(l.name+recordSuffix, max)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// Write replaces the lock's record in one step. It does not wait for a disk:
// nobody looks at a record after a restart of the machine. What writers that
// were killed left an hour ago is removed.
func (l *Lock) Write(data []byte) error {
	if len(data) == 0 {
		return l.dir.Remove(l.name + recordSuffix)
	}
	if err := l.dir.replace(l.name+recordSuffix, data, false); err != nil {
		return err
	}
	_ = l.dir.RemoveTemps(time.Now().Add(-time.Hour)) // the next one tries again
	return nil
}
