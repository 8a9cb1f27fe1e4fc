package gsi

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi/internal/files"
)

// TrustFile is one file for a trust directory, as a MyProxy server sends it.
type TrustFile struct {
	Name string // base name
	Data []byte
}

// InstallReport says what InstallTrustRoots did with each file, by name, each
// list sorted. Names with anything but printable ASCII are quoted.
type InstallReport struct {
	Installed []string // new
	Updated   []string // had another content
	Unchanged []string // were there already, byte for byte
	Kept      []string // revocation lists that are older than the one there, or of another CA of the name, and older certificates of the CA there: that one stays
	Skipped   []string // of a kind that trust directories have no use for, or lists of a CA that is not known
}

// InstallReason is why trust roots were not installed.
type InstallReason string

// The reasons.
const (
	InstallUnsafeName InstallReason = "unsafe_name" // could lead out of the directory
	InstallBadFile    InstallReason = "bad_file"    // is not what its name says
	InstallConflict   InstallReason = "conflict"    // twice in the list, or a link or a directory lies in its place
	InstallDirectory  InstallReason = "directory"   // is a link, another's, or writable by others
	InstallWrite      InstallReason = "write"       // the file system refused
)

// InstallError says why trust roots were not installed, and which file is to
// blame. The directory is as it was, unless Detail says otherwise.
type InstallError struct {
	Reason InstallReason
	File   string // name as sent, quoted where it is unsafe, or path
	Detail string // a sentence without its end
}

// Error implements error.
func (e *InstallError) Error() string { return e.Detail + " (" + e.File + ")" }

// InstallTrustRoots writes trust roots into a directory: CA certificates
// (HASH.N), signing policies, .namespaces, revocation lists (HASH.rN), .crl_url
// and .info. A server sends all files of its own directory (measured:
// myproxy-server 6.2.14), so names of other kinds are skipped; a name that could
// lead elsewhere refuses everything. Every file is parsed before anything is
// written: a certificate must be the one CA that its hash says, a revocation
// list must be signed by a CA sent along or there.
//
// The directory, an absolute path, is made if it does not exist (0755), complete
// or not at all. One that exists must be the caller's own, and others may not
// write to it. Files (0644) are replaced by rename and links never followed;
// when one cannot be, those before it are put back. Certificates come last, so
// that nothing is ever trusted whose policy is not yet there. Nothing is
// deleted. Installations into one directory take turns. One that is killed
// leaves every file as it was or as it is to be; what else it leaves is hidden,
// and a later one removes it after an hour.
//
// Errors are *InstallError.
func InstallTrustRoots(dir string, files []TrustFile) (InstallReport, error) {
	var report InstallReport
	plan, err := planInstall(files, &report)
	if err == nil && len(plan) > 0 {
		err = plan.write(dir, &report)
	}
	if err != nil {
		return InstallReport{}, err
	}
	for _, names := range [][]string{report.Installed, report.Updated, report.Unchanged, report.Kept, report.Skipped} {
		slices.Sort(names)
	}
	return report, nil
}

// write chooses between a directory that is there and a new one.
func (plan installPlan) write(dir string, report *InstallReport) error {
	if !filepath.IsAbs(dir) {
		return &InstallError{InstallDirectory, fmt.Sprintf("%q", dir), "the directory of trusted CAs is not an absolute path"}
	}
	dir = filepath.Clean(dir) // a slash at its end would follow a link
	if !isThere(dir) {
		fresh := *report
		err := plan.installNew(dir, &fresh)
		if err == nil || !isThere(dir) {
			*report = fresh
			return err
		}
		// Another program was faster.
	}
	root, err := openInstallDir(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	defer lockDir(root, maxInstallWait)()
	if plan, err = plan.checkCRLs(root, report); err != nil || len(plan) == 0 {
		return err
	}
	return install(root, plan, report)
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// maxInstallWait is how long one installation waits for another: writing the
// whole IGTF takes some seconds.
const maxInstallWait = 30 * time.Second

// installNew fills a directory beside the one that is wanted and gives it the
// name when it is complete.
func (plan installPlan) installNew(dir string, report *InstallReport) error {
	plan, err := plan.checkCRLs(nil, report)
	if err != nil || len(plan) == 0 {
		return err
	}
	parent := filepath.Dir(dir)
	failed := func(err error) error {
		return &InstallError{InstallWrite, dir, "the directory of trusted CAs cannot be made: " + files.Cause(err)}
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return failed(err)
	}
	temp, err := os.MkdirTemp(parent, tempPrefix+"*"+tempSuffix)
	if err != nil {
		return failed(err)
	}
	defer removeTempDirs(parent, filepath.Base(temp)) // made here; after the rename it is gone
	root, err := os.OpenRoot(temp)
	if err != nil {
		return failed(err)
	}
	defer root.Close()
	if err := install(root, plan, report); err != nil {
		return err
	}
	root.Close() // Windows renames no open directory
	if err := errors.Join(os.Chmod(temp, 0o755), os.Rename(temp, dir)); err != nil {
		return failed(err)
	}
	syncDir(parent)
	return nil
}

// openInstallDir opens a directory that only the caller can change.
func openInstallDir(dir string) (*os.Root, error) {
	refuse := func(detail string) (*os.Root, error) {
		return nil, &InstallError{InstallDirectory, dir, detail}
	}
	found, err := os.Lstat(dir)
	switch {
	case err != nil:
		return refuse("the directory of trusted CAs cannot be used: " + files.Cause(err))
	case found.Mode()&fs.ModeSymlink != 0:
		return refuse("the directory of trusted CAs is a symbolic link, name the directory itself")
	case !found.IsDir():
		return refuse("the directory of trusted CAs is no directory")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return refuse("the directory of trusted CAs cannot be opened: " + files.Cause(err))
	}
	opened, err := root.Stat(".")
	switch {
	case err != nil || !os.SameFile(found, opened):
		err = errors.New("the directory of trusted CAs was exchanged while it was opened")
	default:
		err = ownDir(opened)
	}
	if err != nil {
		root.Close()
		return refuse(err.Error())
	}
	return root, nil
}

func syncDir(path string) {
	if runtime.GOOS == "windows" {
		return
	}
	if d, err := os.Open(path); err == nil {
		_ = d.Sync()
		d.Close()
	}
}
