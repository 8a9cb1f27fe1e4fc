// Package safefile reads and writes files that only one user may see: private
// keys, sealed entries, locks.
//
// Everything is opened once and then judged by fstat of what was opened, never
// looked at first and opened after. Files are opened relative to the
// descriptor of their directory, without following a symbolic link and without
// blocking on a pipe. What has the wrong owner, mode, link count or type is an
// *UnsafeError, which callers pass on: somebody has been there. What is absent
// is fs.ErrNotExist. Writers make a new file and rename it, so a reader sees
// the old content or the new one.
//
//	dir, err := safefile.MakeDir(filepath.Join(home, ".cache", "x509-credential-helper"))
//	if err != nil {
//		return err
//	}
//	defer dir.Close()
//	err = dir.Write("entry", sealed)
//
// Locks are flock(2) on files of their own, which are never unlinked. The
// kernel frees them when a process ends, however it ends. The record that a
// holder leaves for the next is a file beside the lock's.
//
// On Windows the access control list of the user's profile is the protection:
// owner and mode are not checked there.
package safefile
