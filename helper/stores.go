package helper

import (
	"errors"
	"math"
	"syscall"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

// notFirstChoice is the warning about a credential that is not kept where it
// should be, and why.
func notFirstChoice(in cache.Store, why error) Warning {
	text, _ := told(why)
	switch in {
	case cache.None:
		return Warning{"not_stored", text + ": the credential is good, but it is not kept"}
	case cache.Kernel:
		return Warning{"stored_elsewhere", text + ": the credential is kept under a key of the kernel keyring"}
	}
	return Warning{"stored_elsewhere", text + ": the credential is kept in a private file, not sealed"}
}

// told is what happened, for sentences that go on, and what helps.
func told(err error) (text, remedy string) {
	text = err.Error()
	var e *cache.Error
	var unsafe *safefile.UnsafeError
	switch {
	case errors.As(err, &e) && e.Text != "":
		text, remedy = e.Text, e.Remedy
	case errors.As(err, &unsafe) && text == unsafe.Error(): // nobody has said more
		text, remedy = unsafe.Problem(), unsafe.Remedy()
	}
	return clean(text, math.MaxInt), remedy
}

// mayHide says whether a miss is one only because a store did not tell: its
// keyring was locked, say. A keyring that is not there has nothing to hide.
func mayHide(miss error) bool {
	var e *cache.Error
	return errors.As(miss, &e) && e.Kind != cache.ErrNotFound
}

// doesWithout says whether an error is that there is no keyring, where the
// configuration can do without one. One that is locked or silent is another
// matter: somebody can mend it.
func (h *Helper) doesWithout(err error) bool {
	return errors.Is(err, cache.ErrUnavailable) && h.Config.Store.Credentials != cache.Keyring
}

// diskRemedy is what to do about a file system that takes nothing more.
func diskRemedy(err error) string {
	const elsewhere = `, or use another file system: runtime_dir in [store] for locks and for files that tools read, XDG_CACHE_HOME for sealed credentials`
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return "make room there, for bytes and for names" + elsewhere
	case errors.Is(err, syscall.EDQUOT):
		return "your quota there is used up: remove files of yours" + elsewhere
	case errors.Is(err, syscall.EROFS):
		return "make it writable" + elsewhere
	}
	return ""
}
