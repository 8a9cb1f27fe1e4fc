package cache

import "errors"

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
	Kind   error  // one of the package's Err variables
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
