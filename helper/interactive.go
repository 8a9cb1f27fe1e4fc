package helper

import (
	"context"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/secret"
)

// Interactive is implemented by a Backend whose users log in with their
// browser.
type Interactive interface {
	// Login brings a human to the server and back. It takes the secrets that a
	// human types from spec before it shows anything, and honours ctx. No lock is
	// held meanwhile: nobody's proxy waits for a human.
	Login(ctx context.Context, spec *Spec, ui LoginUI) (Return, error)
}

// Return is a human who has come back.
type Return interface {
	// Complete is Obtain for them, under the entry's lock and that of the
	// session. It keeps nothing: Result.Session and Result.Long say what is to be
	// kept, once all was verified.
	Complete(ctx context.Context, spec *Spec) (*Result, error)
	// Over is called once, whatever became of it, when all has been judged and
	// kept: only then can a browser be told.
	Over(LoginOutcome)
}

// LoginUI is what a login in a browser needs of a terminal. Its methods may be
// called from several goroutines.
type LoginUI interface {
	// Show tells the user where to go, and opens a browser there if there is
	// one. A browser that does not start is no error: the URL was shown.
	Show(ctx context.Context, p LoginPrompt) error
	// Paste returns a line that was typed or pasted on the terminal. Where
	// there is no terminal, or ctx ends first, it returns ctx's error once ctx
	// has ended.
	Paste(ctx context.Context) (string, error)
}

// LoginPrompt says where a user has to go.
type LoginPrompt struct {
	Profile string
	// URL is the page at which the login begins.
	URL string
	// RedirectURI is where the browser ends. Listening is set where somebody of
	// ours waits there; without it the address is to be pasted.
	RedirectURI string
	Listening   bool
	// Problem is set, alone, where what was pasted will not do.
	Problem string
}

// LoginOutcome is what became of a login, for the page in the user's browser.
type LoginOutcome struct {
	Error     *Error    // nil: all was verified and what is to be kept is kept
	Identity  string    // of the proxy, in one line
	NotAfter  time.Time // its end
	NextLogin time.Time // when a human is needed again; zero is not known
}

// Session is implemented by a Backend that keeps a session as the primary
// secret of its profiles.
type Session interface {
	// Until says when a kept session ends, so that a human is needed again; the
	// zero time is not known. It looks at the secret alone: no network.
	Until(p *Profile, session secret.Secret) (time.Time, error)
}
