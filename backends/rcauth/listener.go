package rcauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// What a browser may send and how long it may take. A redirect has a code of
// about 130 characters and a state; everything else is not for us.
const (
	maxRedirectHeader = 16 << 10
	browserTimeout    = 10 * time.Second
	// pageTimeout is how long a browser has to fetch the last page once the
	// login is over.
	pageTimeout = 2 * time.Second
	// maxVisitors is how many connections there may be at a time. A browser has a
	// handful; whoever else is on this machine may make as many as we let them.
	maxVisitors = 100
)

// listener is where the browser comes back to: one registered loopback address,
// exactly its path, and no method but GET. It answers a good redirect only when
// the login is over, so that the page can say what became of it.
type listener struct {
	URI string // the registered redirect URI that it stands for

	home    *url.URL
	server  *http.Server
	sockets []net.Listener
	pages   sync.WaitGroup // that wait for the end
	arrived chan arrival   // the first redirect of this login
	over    chan struct{}  // closed when outcome is known

	patience time.Duration // with the sending of a request
	visitors atomic.Int32  // connections

	mu      sync.Mutex
	judge   func(raw string) (code string, err error)
	closed  bool
	outcome Outcome
}

// arrival is the redirect that ends the waiting.
type arrival struct {
	code string
	err  error // *AuthorizationError: the portal sent no code
}

// listen takes the first of the registered URIs whose port is free. Which one
// is registered with which port is the portal's business: a redirect is compared
// there as a string, port included (measured), so no other port will do.
func listen(ctx context.Context, uris []string) (*listener, error) {
	return listenFor(ctx, uris, browserTimeout)
}

func listenFor(ctx context.Context, uris []string, patience time.Duration) (*listener, error) {
	var failed []error
	for _, uri := range uris {
		home, err := loopbackURI(uri)
		if err != nil {
			return nil, err
		}
		sockets, err := bind(ctx, home)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		l := &listener{
			URI: uri, home: home, sockets: sockets,
			arrived: make(chan arrival, 1), over: make(chan struct{}), patience: patience,
		}
		l.serve()
		return l, nil
	}
	return nil, &ListenError{Err: errors.Join(failed...)}
}

// ListenError is that no registered port is free.
type ListenError struct{ Err error }

func (e *ListenError) Error() string {
	return "none of the registered ports is free: " + strings.ReplaceAll(e.Err.Error(), "\n", "; ")
}

// Unwrap returns the operating system's errors.
func (e *ListenError) Unwrap() error { return e.Err }

// loopbackURI takes a redirect URI apart that we can listen on.
func loopbackURI(uri string) (*url.URL, error) {
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q is no redirect URI", uri)
	case !isLoopback(u):
		return nil, fmt.Errorf("%q is no http address of this machine with a port", uri)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil:
		return nil, fmt.Errorf("%q has more than host, port and path", uri)
	}
	return u, nil
}

// isLoopback says whether a redirect URI leads to this machine, so that a
// listener can wait for it. Another one is pasted.
func isLoopback(u *url.URL) bool {
	switch u.Hostname() {
	case "127.0.0.1", "::1", "localhost":
		return u.Scheme == "http" && u.Port() != ""
	}
	return false
}

// bind listens on every address that the browser may take the host for. With
// "localhost" that is both: if somebody else had one of them, the code would be
// theirs.
func bind(ctx context.Context, home *url.URL) (sockets []net.Listener, err error) {
	hosts := []string{home.Hostname()}
	if hosts[0] == "localhost" {
		hosts = []string{"127.0.0.1", "::1"}
	}
	var lc net.ListenConfig
	for _, host := range hosts {
		socket, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, home.Port()))
		if err != nil && len(sockets) > 0 && !hasIPv6(ctx) {
			break
		}
		if err != nil {
			for _, s := range sockets {
				_ = s.Close()
			}
			return nil, err
		}
		sockets = append(sockets, socket)
	}
	return sockets, nil
}

// hasIPv6 tells a port that somebody has from a machine that has only IPv4.
func hasIPv6(ctx context.Context) bool {
	var lc net.ListenConfig
	socket, err := lc.Listen(ctx, "tcp", "[::1]:0")
	if err == nil {
		_ = socket.Close()
	}
	return err == nil
}

func (l *listener) serve() {
	l.server = &http.Server{
		Handler:           http.HandlerFunc(l.answer),
		ReadHeaderTimeout: l.patience,
		ReadTimeout:       l.patience,
		IdleTimeout:       l.patience,
		MaxHeaderBytes:    maxRedirectHeader,
		ErrorLog:          log.New(io.Discard, "", 0), // what a browser sends is no news for the terminal
		ConnState:         l.count,
	}
	l.server.SetKeepAlivesEnabled(false) // one page is all that anybody gets
	for _, socket := range l.sockets {
		safego.Go(func() error { return l.server.Serve(socket) })
	}
}

// count turns away who comes when there are enough.
func (l *listener) count(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if l.visitors.Add(1) > maxVisitors {
			_ = c.Close()
		}
	case http.StateClosed:
		l.visitors.Add(-1)
	}
}

// expect says what a redirect must be. Until then there is none that is good.
func (l *listener) expect(judge func(raw string) (string, error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.judge = judge
}

func (l *listener) verdict(raw string) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.judge == nil {
		return "", ErrWrongState
	}
	return l.judge(raw)
}

// answer is the handler. What is not the redirect of this login is told so and
// changes nothing: pages of other sites can make a browser send anything.
func (l *listener) answer(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Host != l.home.Host, r.URL.EscapedPath() != l.home.EscapedPath():
		l.write(w, http.StatusNotFound, Outcome{State: NotHere})
		return
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		l.write(w, http.StatusMethodNotAllowed, Outcome{State: NotHere})
		return
	}
	code, err := l.verdict(l.home.Scheme + "://" + r.Host + r.URL.RequestURI())
	var refused *AuthorizationError
	if err != nil && !errors.As(err, &refused) {
		l.write(w, http.StatusNotFound, Outcome{State: OtherLogin})
		return
	}
	if l.enter() {
		defer l.pages.Done()
	}
	// The time for the request is over, that for the portal has begun: without this
	// the page would be given up after it, as if the tab were closed.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	select {
	case l.arrived <- arrival{code, err}:
	default: // a reload or a second tab: the first counts, all are told the end
	}
	select {
	case <-l.over:
		l.write(w, http.StatusOK, l.outcome)
	case <-r.Context().Done(): // the tab was closed; the login goes on
	}
}

// enter counts a page that waits for the end; after the end nobody waits for it.
func (l *listener) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.pages.Add(1)
	return true
}

// write sends a whole page out of this process, so that closing the connection
// loses nothing of it.
func (l *listener) write(w http.ResponseWriter, status int, o Outcome) {
	body := Page(o)
	pageHeaders(w.Header())
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	out := http.NewResponseController(w)
	_ = out.SetWriteDeadline(time.Now().Add(pageTimeout))
	w.WriteHeader(status)
	_, _ = w.Write(body)
	_ = out.Flush()
}

// finish tells every waiting page what became of the login and stops listening.
// Only the first call does anything. It does not wait for browsers that have
// connected without a word, as they do to be quicker later.
func (l *listener) finish(o Outcome) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	l.outcome = o
	close(l.over)
	l.mu.Unlock()
	l.pages.Wait() // bounded: by the deadline of each write
	_ = l.server.Close()
}
