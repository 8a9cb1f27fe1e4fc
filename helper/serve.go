package helper

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/cache"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// Verbs are the verbs of the protocol.
var verbs = []string{"get", "store", "erase", "list", "capabilities"}

// Verbs returns the verbs of the protocol.
func Verbs() []string { return slices.Clone(verbs) }

// IsVerb says whether s is a verb of the protocol.
func IsVerb(s string) bool { return slices.Contains(verbs, s) }

// Helper answers requests. Everything it works with is given to it.
type Helper struct {
	Config     *Config
	Backends   map[string]Backend
	Cache      *cache.Cache
	Clock      func() time.Time
	Terminal   Terminal
	Identities *Identities
	Getenv     func(string) string
	Program    string       // absolute path of this program, for Action.Argv
	Version    string       // of this program
	Seed       string       // host and uid, from which refresh times are drawn
	Notify     func(string) // tells people what is waited for; may be nil
	UI         LoginUI      // for logins in a browser; nil: there are none

	// StdinIsTerminal is set where Serve's input is a terminal: nobody types
	// JSON there.
	StdinIsTerminal bool
}

// cancelGrace is how long a verb may take to notice that it was cancelled
// before its answer is given for it.
const cancelGrace = time.Second

// Serve reads one request from in, writes one JSON object and a newline to out
// in one write, and returns the exit status. It does so for every input.
func (h *Helper) Serve(ctx context.Context, verb string, in io.Reader, out io.Writer) int {
	return h.write(ctx, out, func(ctx context.Context) (any, error) { return h.serve(ctx, verb, in) })
}

// ServeEraseAll is Serve for EraseAll, which reads no request.
func (h *Helper) ServeEraseAll(ctx context.Context, out io.Writer) int {
	return h.write(ctx, out, func(ctx context.Context) (any, error) { return h.EraseAll(ctx) })
}

// write writes the answer that f returns, or its error, and returns the exit
// status.
func (h *Helper) write(ctx context.Context, out io.Writer, f func(context.Context) (any, error)) int {
	var answer any
	var status int
	data, err := h.run(ctx, func(ctx context.Context) error {
		var err error
		answer, err = f(ctx)
		return err
	}, &answer)
	if err != nil {
		e := h.coded(err)
		data, status = EncodeError(e), e.Code.ExitStatus()
	}
	if _, err := out.Write(data); err != nil && status == 0 {
		status = CodeInternal.ExitStatus() // nobody is there to read why
	}
	return status
}

// run calls f so that neither a panic nor a call that ignores its context
// keeps the caller without an answer. What must not be cut off is waited for: the
// process ends with the answer.
func (h *Helper) run(ctx context.Context, f func(context.Context) error, answer *any) ([]byte, error) {
	ctx, held := withHolds(ctx)
	done := safego.Go(func() error { return f(ctx) })
	select {
	case err := <-done:
		return encodeResult(answer, err)
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return encodeResult(answer, err)
	case <-held.close():
	}
	timer := time.NewTimer(cancelGrace)
	defer timer.Stop()
	select {
	case err := <-done:
		return encodeResult(answer, err)
	case <-timer.C:
		return nil, ctx.Err()
	}
}

func encodeResult(answer *any, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return encode(*answer)
}

func (h *Helper) serve(ctx context.Context, verb string, in io.Reader) (any, error) {
	if !IsVerb(verb) {
		return nil, Errorf(CodeUnsupportedVerb, "%s is no verb of this protocol", quoteName(verb))
	}
	if verb == "capabilities" {
		return h.Capabilities(), nil
	}
	data, err := h.request(ctx, verb, in)
	if err != nil {
		return nil, err
	}
	switch verb {
	case "get":
		return decodeThen(data, parseGet, func(r *GetRequest) (any, error) { return h.Get(ctx, r) })
	case "store":
		return decodeThen(data, parseStore, func(r *StoreRequest) (any, error) { return h.Store(ctx, r) })
	case "erase":
		return decodeThen(data, parseErase, func(r *EraseRequest) (any, error) { return h.Erase(ctx, r) })
	default:
		if err := parseList(data); err != nil {
			return nil, err
		}
		return h.List(ctx)
	}
}

func decodeThen[R any](data []byte, parse func([]byte) (R, error), do func(R) (any, error)) (any, error) {
	r, err := parse(data)
	if err != nil {
		return nil, err
	}
	return do(r)
}

// request reads the request of a verb. On a terminal nobody is going to type
// one: list needs none, the others say how to call them.
func (h *Helper) request(ctx context.Context, verb string, in io.Reader) ([]byte, error) {
	if !h.StdinIsTerminal {
		return readObject(ctx, in, readTimeout)
	}
	if verb == "list" {
		return []byte("{}"), nil
	}
	e := Errorf(CodeInvalidRequest, "%s reads a JSON request from standard input, which is a terminal", verb)
	if verb == "get" {
		return nil, e.WithHint("for example: echo '{}' | x509-credential-helper get")
	}
	return nil, e.WithHint("run: x509-credential-helper help %s", verb) // {} is no example: it would erase something
}

// coded gives every error its code.
func (h *Helper) coded(err error) *Error {
	var e *Error
	var unsafe *safefile.UnsafeError
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.Canceled):
		return Errorf(CodeCancelled, "cancelled")
	case errors.Is(err, cache.ErrLocked):
		e = Errorf(CodeKeyringLocked, "%w", err)
		e.Action = &Action{Kind: "unlock_keyring"}
	case errors.Is(err, cache.ErrTimeout), errors.Is(err, cache.ErrUnavailable):
		e = Errorf(CodeKeyringUnavailable, "%w", err)
	case errors.Is(err, cache.ErrBusy):
		e = Errorf(CodeBusy, "%w", err)
	case errors.Is(err, context.DeadlineExceeded):
		e = Errorf(CodeTimeout, "the request's time ran out").WithHint("allow more time with \"timeout\"")
	case errors.As(err, &unsafe):
		e = Errorf(CodeStorageError, "%w", err)
	case errors.Is(err, cache.ErrTooBig):
		e = Errorf(CodeStorageError, "%w", err)
	default:
		return AsError(err)
	}
	if text, remedy := told(err); remedy != "" && e.Hint == "" {
		e.Message, e.Hint = text, remedy
	}
	return e
}

// storage gives failures of files the code that says so; what has a meaning of
// its own keeps it.
func (h *Helper) storage(err error) error {
	if err == nil {
		return nil
	}
	if e := h.coded(err); e.Code != CodeInternal {
		return e
	}
	e := Errorf(CodeStorageError, "the cache cannot be used: %w", err)
	e.Hint = diskRemedy(err)
	return e
}

// Capabilities says what this helper can do. It needs no configuration, no
// keyring and no network.
func (h *Helper) Capabilities() *CapabilitiesAnswer {
	a := &CapabilitiesAnswer{
		Version:  Version,
		Versions: []int{Version},
		Helper:   HelperInfo{Name: "x509-credential-helper", Version: h.Version},
		Verbs:    Verbs(),
		Features: []string{
			"url", "min_lifetime", "lifetime", "voms", "limited", "cache", "output.path",
			"interactive", "timeout", "optional", "client", "refresh_after", "rejected", "erase.all",
		},
		Limits:   Limits{RequestBytes: MaxRequest},
		Backends: []BackendInfo{},
	}
	for name := range h.Backends {
		a.Backends = append(a.Backends, BackendInfo{Name: name})
	}
	slices.SortFunc(a.Backends, func(x, y BackendInfo) int {
		if x.Name < y.Name {
			return -1
		}
		return 1
	})
	return a
}
