package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Client runs a helper. The zero value is ready for use, by any number of
// goroutines.
type Client struct {
	// Name and Version tell the helper who asks, in letters, digits, blanks and
	// ._+-; it shows them to people and calls them unverified.
	Name, Version string

	// Command is the helper and its first arguments; nil is the one that
	// FindHelper finds.
	Command []string

	// Stderr gets what the helper has to say to people. nil drops it.
	Stderr io.Writer

	// Run takes the place of a process; tests put a function here.
	Run Runner
}

// Runner hands one request to a helper and returns what that wrote to standard
// output, and its exit status. An error is for a helper that could not be run; an
// answer that says no is none.
type Runner func(ctx context.Context, verb string, request []byte) (answer []byte, status int, err error)

// Get returns a credential that satisfies the request. Where ctx has a deadline
// that comes before the request's own time is up, the helper is told, so that
// its answer says what it waited for.
func (c *Client) Get(ctx context.Context, r GetRequest) (*GetAnswer, error) {
	if end, ok := ctx.Deadline(); ok {
		r.Timeout = shorter(r, time.Until(end))
	}
	a, err := call[GetAnswer](ctx, c, "get", r.wire())
	if err != nil {
		return nil, err
	}
	if err := a.Credential.check(r.Output); err != nil {
		return nil, err
	}
	return a, nil
}

// Store keeps a secret, as a pass phrase, in the system's keyring.
func (c *Client) Store(ctx context.Context, r StoreRequest) (*StoreAnswer, error) {
	w, err := r.wire()
	if err != nil {
		return nil, err
	}
	return call[StoreAnswer](ctx, c, "store", w)
}

// Erase forgets credentials and secrets.
func (c *Client) Erase(ctx context.Context, r EraseRequest) (*EraseAnswer, error) {
	return call[EraseAnswer](ctx, c, "erase", r.wire())
}

// List says what is in the cache, without secrets.
func (c *Client) List(ctx context.Context) (*ListAnswer, error) {
	return call[ListAnswer](ctx, c, "list", new(wire))
}

// Capabilities says what the helper can do.
func (c *Client) Capabilities(ctx context.Context) (*CapabilitiesAnswer, error) {
	return call[CapabilitiesAnswer](ctx, c, "capabilities", new(wire))
}

// call runs one verb and decodes its answer.
func call[A any](ctx context.Context, c *Client, verb string, w *wire) (*A, error) {
	w.Version = version
	if c.Name != "" || c.Version != "" {
		w.Client = &asker{c.Name, c.Version}
	}
	a := new(A)
	err := c.exchange(ctx, verb, w, a)
	var said *Error
	switch {
	case err == nil:
		return a, nil
	case ctx.Err() != nil && (!errors.As(err, &said) || said.Code == CodeCancelled):
		return nil, fmt.Errorf("the credential helper was stopped: %w", context.Cause(ctx))
	}
	return nil, err
}

// exchange sends a request and takes in the answer. Both may hold a pass phrase or
// a private key, so their buffers are cleared.
func (c *Client) exchange(ctx context.Context, verb string, w *wire, answer any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	request, err := encode(w)
	if err != nil {
		return err
	}
	defer clear(request)
	run := c.Run
	if run == nil {
		run = c.process
	}
	data, status, err := run(ctx, verb, request)
	if err != nil {
		return err
	}
	defer clear(data)
	return decode(data, status, answer)
}
