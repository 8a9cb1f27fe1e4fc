package myproxy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

// FileError is a file of the user's, a proxy, a certificate or a key, that
// cannot be used, and why.
type FileError struct {
	Path   string
	Reason string // a sentence without its end, and what helps
	Unsafe bool   // somebody else could have made, changed or read it
	Err    error  // nil where Reason says all
}

func (e *FileError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%q %s", e.Path, e.Reason)
	}
	return fmt.Sprintf("%q %s: %v", e.Path, e.Reason, e.Err)
}

// Unwrap returns the cause: fs.ErrNotExist, gsi.ErrNoKey, …
func (e *FileError) Unwrap() error { return e.Err }

// DefaultProxyFile is where Globus's programs keep a proxy when nothing says
// where: /tmp/x509up_u and the number of the effective user. TMPDIR does not
// count (measured: grid-proxy-info, voms-proxy-info). It is "" on Windows, which
// has no such numbers.
func DefaultProxyFile() string { return proxyFileOf(os.Geteuid()) }

func proxyFileOf(uid int) string {
	if uid < 0 {
		return ""
	}
	return "/tmp/x509up_u" + strconv.Itoa(uid)
}

// orDefaultFile puts DefaultProxyFile in the place of an empty path.
func orDefaultFile(path string) (string, error) {
	if path == "" {
		path = DefaultProxyFile()
	}
	if path == "" {
		return "", &FileError{Reason: "is no path: name a file, this system has no default one"}
	}
	return path, nil
}

// ReadProxyFile reads a proxy as myproxy-logon writes it: certificate, private
// key, issuers, in PEM; other orders are put right. An empty path is
// DefaultProxyFile. The file must be a regular one of ours, or root's, that
// nobody else can read or write, as Globus demands it too; a symbolic link may
// lead to it. Nothing else is verified, see [gsi.Credential.Verify].
//
// Errors are *FileError; a missing file is fs.ErrNotExist.
func ReadProxyFile(path string) (*gsi.Credential, error) {
	path, err := orDefaultFile(path)
	if err != nil {
		return nil, err
	}
	data, err := readPrivate(path, 0o077)
	if err != nil {
		return nil, err
	}
	defer clear(data)
	cred, err := gsi.ParseCredential(data)
	if err != nil {
		return nil, &FileError{Path: path, Reason: "cannot be used as a proxy", Err: err}
	}
	return cred, nil
}

// readPrivate reads a file with a private key in it. forbidden are the
// permission bits that it must not have; that others can write to it is never
// allowed.
func readPrivate(path string, forbidden fs.FileMode) ([]byte, error) {
	data, perm, err := safefile.ReadTrustedMode(path, gsi.MaxCredentialBytes)
	if err != nil {
		return nil, fileError(path, err)
	}
	if perm&forbidden != 0 {
		clear(data)
		return nil, &FileError{Path: path, Unsafe: true,
			Reason: fmt.Sprintf("has the mode %04o, so that others can read the private key: run chmod 600, or get a new one", perm)}
	}
	return data, nil
}

// fileError says what became of opening a file.
func fileError(path string, err error) *FileError {
	var unsafe *safefile.UnsafeError
	switch {
	case errors.As(err, &unsafe):
		return &FileError{Path: path, Unsafe: true, Reason: "is not used, because " + unsafe.Reason}
	case errors.Is(err, fs.ErrNotExist):
		return &FileError{Path: path, Reason: "cannot be opened", Err: fs.ErrNotExist}
	}
	var cause *fs.PathError
	if errors.As(err, &cause) {
		err = cause.Err // the path stands there already
	}
	return &FileError{Path: path, Reason: "cannot be read", Err: err}
}

// WriteProxyFile writes a credential as myproxy-logon does: certificate, private
// key (PKCS#8, which all of the grid's programs read) and all issuers but the
// root; an end-entity certificate has none, unless its CA sent some. An empty
// path is DefaultProxyFile.
//
// The file is new, of mode 0600, and takes the old one's place by rename, so
// that readers see one or the other; what was there is not changed, however many
// links it has. Where the path is a symbolic link, somebody else's file or no
// file at all nothing is written: the default path can be guessed, and others
// may write to /tmp.
//
// Errors are *FileError.
func WriteProxyFile(path string, c *gsi.Credential) error {
	path, err := orDefaultFile(path)
	if err != nil {
		return err
	}
	if c == nil {
		return &FileError{Path: path, Reason: "is not written", Err: gsi.ErrNoCertificate}
	}
	data, err := c.PEM()
	if err != nil {
		return &FileError{Path: path, Reason: "is not written", Err: err}
	}
	defer clear(data)
	if err := checkReplaceable(path); err != nil {
		return err
	}
	if err := replaceFile(path, data); err != nil {
		return &FileError{Path: path, Reason: "cannot be written", Err: causeOf(err)}
	}
	return nil
}

// CheckProxyFile says whether WriteProxyFile could write there, before anybody
// asks a server for something that then has no place. It leaves nothing behind.
// An empty path is DefaultProxyFile. Errors are *FileError.
func CheckProxyFile(path string) error {
	path, err := orDefaultFile(path)
	if err != nil {
		return err
	}
	if err := checkReplaceable(path); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), tempProxyFile)
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		return &FileError{Path: path, Reason: "cannot be written", Err: causeOf(err)}
	}
	return nil
}

// tempProxyFile is the pattern of names that files have before their own.
const tempProxyFile = ".x509up-*.tmp"

// causeOf leaves the path of a temporary file, which nobody knows, out.
func causeOf(err error) error {
	var cause *fs.PathError
	if errors.As(err, &cause) {
		return cause.Err
	}
	return err
}

// checkReplaceable refuses what should not lie where a proxy is to be. A rename
// would not follow a link; but whoever put it there expects something of it.
func checkReplaceable(path string) error {
	refuse := func(reason string) error {
		return &FileError{Path: path, Unsafe: true, Reason: "is not replaced: it " + reason}
	}
	found, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fileError(path, err)
	case found.Mode()&fs.ModeSymlink != 0:
		return refuse("is a symbolic link, name the file itself or remove the link")
	case !found.Mode().IsRegular():
		return refuse("is no regular file")
	}
	if uid, ok := fileOwner(found); ok && uid != os.Geteuid() {
		return refuse(fmt.Sprintf("belongs to uid %d, not to us (%d); choose another place", uid, os.Geteuid()))
	}
	return nil
}

// replaceFile writes a file of mode 0600 beside its place and moves it there.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), tempProxyFile) // O_EXCL
	if err != nil {
		return err
	}
	defer f.Close()
	err = f.Chmod(0o600) // a umask may have taken our own bits
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil { // Windows renames no open file
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
