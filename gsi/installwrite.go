package gsi

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/internal/files"
)

// installation writes a plan into an open directory.
type installation struct {
	root  *os.Root
	steps []*installStep
}

// installStep is one file that changes.
type installStep struct {
	name string
	data []byte
	temp string // where the new content lies until it is renamed
	old  []byte // content before, nil for none
	had  bool
}

func install(root *os.Root, plan installPlan, report *InstallReport) error {
	in := &installation{root: root}
	if err := in.compare(plan, report); err != nil {
		return err
	}
	defer in.removeTemps()
	for _, step := range in.steps {
		if err := in.stage(step); err != nil {
			return &InstallError{InstallWrite, step.name, "the file cannot be written: " + files.Cause(err)}
		}
	}
	if err := in.commit(); err != nil {
		return err
	}
	if d, err := in.root.Open("."); err == nil {
		_ = d.Sync() // what cannot sync a directory has nothing to sync
		d.Close()
	}
	return nil
}

// commit gives the files their names, all of them or none.
func (in *installation) commit() error {
	for i, step := range in.steps {
		if err := in.root.Rename(step.temp, step.name); err != nil {
			detail := "the file cannot be put in its place: " + files.Cause(err)
			if back := in.putBack(in.steps[:i]); back != nil {
				detail += "; files before it could not be put back: " + files.Cause(back)
			}
			return &InstallError{InstallWrite, step.name, detail}
		}
		step.temp = ""
	}
	return nil
}

// compare makes a step of each file that is not there as it should be.
func (in *installation) compare(plan installPlan, report *InstallReport) error {
	for _, f := range plan {
		old, err := readRegular(in.root, f.name, f.limit())
		switch {
		case errors.Is(err, fs.ErrNotExist):
			report.Installed = append(report.Installed, f.name)
			in.steps = append(in.steps, &installStep{name: f.name, data: f.data})
		case err != nil:
			return &InstallError{InstallConflict, f.name, "what lies in the file's place cannot be replaced: " + files.Cause(err)}
		case bytes.Equal(old, f.data):
			report.Unchanged = append(report.Unchanged, f.name)
		case plan.keeps(f, old, in.root):
			report.Kept = append(report.Kept, f.name)
		default:
			report.Updated = append(report.Updated, f.name)
			in.steps = append(in.steps, &installStep{name: f.name, data: f.data, old: old, had: true})
		}
	}
	return nil
}

// readRegular reads a file of the directory that is none of a link, a
// directory, a pipe.
func readRegular(root *os.Root, name string, limit int64) ([]byte, error) {
	found, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !found.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	opened, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !os.SameFile(found, opened) {
		return nil, errors.New("it was exchanged while it was opened")
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("it is larger than %d bytes", limit)
	}
	return data, err
}

const tempPrefix, tempSuffix = ".trust-", ".tmp"

// stage writes the new content beside its place, safely on the disk.
func (in *installation) stage(step *installStep) error {
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return err
	}
	temp := tempPrefix + hex.EncodeToString(random[:]) + tempSuffix
	f, err := in.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	step.temp = temp
	_, err = f.Write(step.data)
	err = errors.Join(err, f.Chmod(0o644), f.Sync()) // the umask does not count: CAs are for everybody
	return errors.Join(err, f.Close())
}

// putBack undoes steps, the last first.
func (in *installation) putBack(done []*installStep) error {
	var failed error
	for _, step := range slices.Backward(done) {
		if !step.had {
			failed = errors.Join(failed, in.root.Remove(step.name))
			continue
		}
		back := &installStep{name: step.name, data: step.old}
		err := in.stage(back)
		if err == nil {
			err = in.root.Rename(back.temp, back.name)
		}
		if err != nil && back.temp != "" {
			_ = in.root.Remove(back.temp)
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// removeTemps removes what this installation left beside the files, and what
// one that was killed an hour or more before it did.
func (in *installation) removeTemps() {
	var newest time.Time // by the file system's clock
	if len(in.steps) == 0 {
		newest = time.Now()
	}
	for _, step := range in.steps {
		if st, err := in.root.Lstat(cmp.Or(step.temp, step.name)); err == nil && st.ModTime().After(newest) {
			newest = st.ModTime()
		}
		if step.temp != "" {
			_ = in.root.Remove(step.temp)
		}
	}
	removeOldTemps(in.root, newest, 0, in.root.Remove)
}

// removeTempDirs removes an installation's own directory, where it has not
// become the one that was wanted, and those of installations that were killed an
// hour or more before.
func removeTempDirs(parent, own string) {
	root, err := os.OpenRoot(parent)
	if err != nil {
		return
	}
	defer root.Close()
	_ = root.RemoveAll(own)
	if st, err := root.Stat("."); err == nil { // changed by what was just done
		removeOldTemps(root, st.ModTime(), fs.ModeDir, root.RemoveAll)
	}
}

// removeOldTemps removes left-overs of a type that are an hour older than now.
func removeOldTemps(root *os.Root, now time.Time, kind fs.FileMode, remove func(string) error) {
	d, err := root.Open(".")
	if err != nil {
		return
	}
	defer d.Close()
	names, _ := d.Readdirnames(maxTrustEntries)
	for _, name := range names {
		if !strings.HasPrefix(name, tempPrefix) || !strings.HasSuffix(name, tempSuffix) {
			continue
		}
		if st, err := root.Lstat(name); err == nil && st.Mode().Type() == kind && now.Sub(st.ModTime()) > time.Hour {
			_ = remove(name)
		}
	}
}
