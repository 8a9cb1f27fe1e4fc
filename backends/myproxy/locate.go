package myproxy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Rule says why LocateIdentity chose a certificate and key.
type Rule string

// The rules of LocateIdentity, in their order.
const (
	RuleUserProxy  Rule = "X509_USER_PROXY"
	RuleTmpProxy   Rule = "/tmp/x509up_u<uid>"
	RuleUserCert   Rule = "X509_USER_CERT and X509_USER_KEY"
	RuleHostCert   Rule = "/etc/grid-security/hostcert.pem"
	RuleGlobusHost Rule = "$GLOBUS_LOCATION/etc/hostcert.pem"
	RuleGlobusUser Rule = "~/.globus/usercert.pem"
)

// Located is a certificate and its key. Both are the same file for a proxy.
type Located struct {
	CertFile, KeyFile string
	Rule              Rule
}

// LocateOptions are the outside world of LocateIdentity.
type LocateOptions struct {
	Getenv func(string) string // default os.Getenv
	Home   string              // "" is none
	UID    int                 // of the user, for /tmp/x509up_u<uid>; -1 is none
	// TmpFile looks at /tmp/x509up_u<uid>, too.
	TmpFile bool
	Clock   func() time.Time // default time.Now
	// Passed, if set, hears of everything that was there and is not used, and
	// why: half of a pair, an expired proxy, a file that others can write.
	Passed func(err error)

	root string // of /etc and /tmp, for tests
}

// LocateIdentity looks for the user's certificate and key where Globus does:
// the proxy in X509_USER_PROXY, if that file exists; /tmp/x509up_u<uid>, only if
// TmpFile is set; X509_USER_CERT with X509_USER_KEY; hostcert.pem with
// hostkey.pem in /etc/grid-security and in $GLOBUS_LOCATION/etc, if both can be
// read; usercert.pem with userkey.pem in ~/.globus, likewise. The answer is
// always both paths, or nil where there are none, which means an anonymous
// connection.
//
// A proxy counts only if it is valid: X509_USER_PROXY may as well name the file
// that is to be written. X509_USER_CERT with X509_USER_KEY counts unread: an
// explicit wish should fail, not be passed over.
//
// The error is a file system that does not answer, which must not be taken for
// a file that is not there.
func LocateIdentity(o LocateOptions) (*Located, error) {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Passed == nil {
		o.Passed = func(error) {}
	}
	if found, err := o.locateProxy(); found != nil || err != nil {
		return found, err
	}
	cert, key := o.Getenv("X509_USER_CERT"), o.Getenv("X509_USER_KEY")
	switch {
	case cert != "" && key != "":
		return &Located{cert, key, RuleUserCert}, nil
	case cert != "":
		o.Passed(errors.New("X509_USER_CERT is not used: X509_USER_KEY is not set"))
	case key != "":
		o.Passed(errors.New("X509_USER_KEY is not used: X509_USER_CERT is not set"))
	}
	for _, place := range o.pairs() {
		if found, err := o.locatePair(place); found != nil || err != nil {
			return found, err
		}
	}
	return nil, nil
}

// locateProxy looks at the files that are certificate and key at once.
func (o *LocateOptions) locateProxy() (*Located, error) {
	places := []Located{{CertFile: o.Getenv("X509_USER_PROXY"), Rule: RuleUserProxy}}
	if o.TmpFile && o.UID >= 0 {
		places = append(places, Located{CertFile: o.root + proxyFileOf(o.UID), Rule: RuleTmpProxy})
	}
	for _, place := range places {
		path := place.CertFile
		if path == "" {
			continue
		}
		cred, err := ReadProxyFile(path)
		switch {
		case isNotThere(err):
			continue
		case isBroken(err):
			return nil, err
		case err == nil && !chainEnd(cred.Chain).After(o.Clock()):
			err = expired(path, chainEnd(cred.Chain))
		case err == nil && chainStart(cred.Chain).After(o.Clock()):
			err = &FileError{Path: path, Reason: "is not valid before " + chainStart(cred.Chain).UTC().Format(time.RFC3339)}
		}
		if err == nil {
			place.KeyFile = path
			return &place, nil
		}
		o.Passed(fmt.Errorf("%s is not used: %w", place.Rule, err))
	}
	return nil, nil
}

func expired(path string, at time.Time) error {
	return &FileError{Path: path, Reason: "expired at " + at.UTC().Format(time.RFC3339)}
}

// pairs lists the places of certificates with a key of their own.
func (o *LocateOptions) pairs() []Located {
	places := []Located{{
		CertFile: o.root + "/etc/grid-security/hostcert.pem",
		KeyFile:  o.root + "/etc/grid-security/hostkey.pem", Rule: RuleHostCert,
	}}
	for _, dir := range []struct {
		path, name string
		rule       Rule
	}{
		{globusEtc(o.Getenv("GLOBUS_LOCATION")), "host", RuleGlobusHost},
		{globusHome(o.Home), "user", RuleGlobusUser},
	} {
		if dir.path != "" {
			places = append(places, Located{filepath.Join(dir.path, dir.name+"cert.pem"), filepath.Join(dir.path, dir.name+"key.pem"), dir.rule})
		}
	}
	return places
}

func globusEtc(location string) string {
	if location == "" {
		return ""
	}
	return filepath.Join(location, "etc")
}

func globusHome(home string) string {
	if home == "" {
		return ""
	}
	return filepath.Join(home, ".globus")
}

// locatePair wants both files to be readable: an ordinary user sees the host's
// certificate, too, but not its key.
func (o *LocateOptions) locatePair(place Located) (*Located, error) {
	certErr, keyErr := readable(place.CertFile), readable(place.KeyFile)
	for _, err := range []error{certErr, keyErr} {
		if isBroken(err) {
			return nil, err
		}
	}
	switch {
	case certErr == nil && keyErr == nil:
		return &place, nil
	case isNotThere(certErr) && isNotThere(keyErr):
	case keyErr != nil:
		o.Passed(fmt.Errorf("%q is not used: %w", place.CertFile, keyErr))
	default:
		o.Passed(fmt.Errorf("%q is not used: %w", place.KeyFile, certErr))
	}
	return nil, nil
}

// readable says why a file cannot be opened for reading.
func readable(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return fileError(path, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return &FileError{Path: path, Reason: "is no regular file"}
	}
	return nil
}

func isNotThere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// isBroken tells a failing file system from a file that may not be read, or
// that is no proxy.
func isBroken(err error) bool {
	var number syscall.Errno
	return errors.As(err, &number) && !isNotThere(err) && !errors.Is(err, fs.ErrPermission)
}

// DefaultTrustDir is where trust roots are written when nothing says where:
// X509_CERT_DIR, else /etc/grid-security/certificates for root, who is known by
// uid 0, and certificates in ~/.globus for everybody else. It is "" where there
// is no home either. Whether it exists does not matter.
func DefaultTrustDir(getenv func(string) string, home string, uid int) string {
	if dir := getenv("X509_CERT_DIR"); dir != "" {
		return dir
	}
	if uid == 0 {
		return "/etc/grid-security/certificates"
	}
	if dir := globusHome(home); dir != "" {
		return filepath.Join(dir, "certificates")
	}
	return ""
}
