package cache

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

// The kinds of failures of a store, for errors.Is. Every error that this
// package returns for one of them is a *Error with the remedy.
var (
	// ErrNotFound: nothing usable is kept under that name.
	ErrNotFound = errors.New("not found")
	// ErrLocked: the keyring is there but locked, and no prompt was allowed.
	ErrLocked = errors.New("the keyring is locked")
	// ErrUnavailable: there is no keyring, or it does not work.
	ErrUnavailable = errors.New("no usable keyring")
	// ErrTimeout: the keyring did not answer within its deadline.
	ErrTimeout = errors.New("the keyring did not answer in time")
	// ErrTooBig: the value does not fit into a keyring item.
	ErrTooBig = errors.New("too big for the keyring")
	// ErrBusy: another process held a lock for as long as the caller could wait.
	ErrBusy = errors.New("busy")
)

// Error is a failure of a store: what happened, and one sentence that says
// what to do about it.
type Error struct {
	Kind   error  // one of the package's Err variables; of a miss also why it may be none
	Text   string // what happened
	Remedy string // what to do
	Err    error  // the cause, or nil
}

// Error returns what happened and what to do.
func (e *Error) Error() string {
	s := e.Text
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Remedy != "" {
		s += "; " + e.Remedy
	}
	return s
}

// Unwrap returns the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// isAbsent says that there is nothing, rather than that something is wrong. A
// bus whose socket is gone is no such file either.
func isAbsent(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrUnavailable)
}

// noPlace is a directory that nobody can name, such as one in a home that is
// not there.
type noPlace struct{ error }

func (e noPlace) Unwrap() error { return e.error }

// isMissing says that a store cannot be there at all, as on a machine without
// a desktop: nothing can be in it.
func isMissing(err error) bool {
	return (errors.Is(err, ErrUnavailable) || errors.As(err, new(noPlace))) && !isUnsafe(err)
}

// isUnsafe says that somebody else may have had a hand in it.
func isUnsafe(err error) bool { return errors.As(err, new(*safefile.UnsafeError)) }

// miss says why there is nothing for a profile.
func miss(profile, why string) error {
	return &Error{Kind: ErrNotFound, Text: fmt.Sprintf("the cached credential of profile %q %s", profile, why), Remedy: "fetch a new one"}
}

// search is what was learnt on the way to a miss.
type search struct {
	profile string
	bad     error // an entry that is there and is no good
	silent  error // a store that could have had one
}

func (s *search) note(err error) {
	switch {
	case errors.Is(err, ErrNotFound):
		s.bad = err
	case s.silent == nil && !isAbsent(err) && !isMissing(err):
		s.silent = err
	}
}

// missed is the miss. Who may only look into the cache learns from it that a
// keyring that is locked or silent could have known more.
func (s *search) missed() error {
	if s.silent == nil && s.bad != nil {
		return s.bad
	}
	e := &Error{Kind: ErrNotFound, Text: fmt.Sprintf("no credential of profile %q is cached", s.profile), Remedy: "fetch a new one"}
	if s.silent != nil {
		e.Kind = errors.Join(ErrNotFound, s.silent)
		e.Text = fmt.Sprintf("no credential of profile %q can be read: %s", s.profile, s.silent)
		var cause *Error
		if errors.As(s.silent, &cause) {
			e.Text, e.Remedy = fmt.Sprintf("no credential of profile %q can be read: %s", s.profile, cause.Text), cause.Remedy
		}
	}
	return e
}
