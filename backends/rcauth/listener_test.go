package rcauth

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// freeURI is a redirect URI with a port that was free a moment ago.
func freeURI(t *testing.T, host string) string {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	_, port, _ := net.SplitHostPort(socket.Addr().String())
	return "http://" + net.JoinHostPort(host, port) + "/callback"
}

// startListener expects the state "right"; the code is the query's.
func startListener(t *testing.T, uris ...string) *listener {
	t.Helper()
	l, err := listen(t.Context(), uris)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.finish(Outcome{State: Failed}) })
	l.expect(func(raw string) (string, error) {
		switch {
		case !strings.Contains(raw, "state=right"):
			return "", ErrWrongState
		case strings.Contains(raw, "error=access_denied"):
			return "", &AuthorizationError{Code: "access_denied"}
		}
		_, code, _ := strings.Cut(raw, "code=")
		return code, nil
	})
	return l
}

type page struct {
	status int
	header http.Header
	body   string
}

// browse fetches a page as a browser does, without a proxy.
func browse(t *testing.T, method, uri, host string) page {
	t.Helper()
	p, err := tryBrowse(t, method, uri, host)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func tryBrowse(t *testing.T, method, uri, host string) (page, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, uri, nil)
	if err != nil {
		return page{}, err
	}
	r.Host = host
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return page{}, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return page{answer.StatusCode, answer.Header, string(body)}, err
}

// TestListenerTakesOnlyTheRedirect: whatever else a browser may be made to send
// ends nothing, is answered at once, and the login goes on to its good end.
func TestListenerTakesOnlyTheRedirect(t *testing.T) {
	l := startListener(t, freeURI(t, "127.0.0.1"))
	right := l.URI + "?state=right&code=c1"
	for name, test := range map[string]struct {
		method, uri, host string
		status            int
	}{
		"wrong state":       {"GET", l.URI + "?state=wrong&code=c1", "", 404},
		"no query":          {"GET", l.URI, "", 404},
		"longer path":       {"GET", l.URI + "/?state=right&code=c1", "", 404},
		"encoded path":      {"GET", strings.Replace(right, "callback", "%63allback", 1), "", 404},
		"root":              {"GET", strings.Replace(right, "/callback", "/", 1), "", 404},
		"favicon":           {"GET", strings.Replace(l.URI, "/callback", "/favicon.ico", 1), "", 404},
		"name of elsewhere": {"GET", right, "evil.example.org", 404}, // DNS rebinding
		"other loopback":    {"GET", right, strings.Replace(l.home.Host, "127.0.0.1", "localhost", 1), 404},
		"POST":              {"POST", right, "", 405},
		"HEAD":              {"HEAD", right, "", 405},
		"OPTIONS":           {"OPTIONS", right, "", 405},
	} {
		if p := browse(t, test.method, test.uri, test.host); p.status != test.status {
			t.Errorf("%s: status %d, expected %d", name, p.status, test.status)
		}
	}
	select {
	case a := <-l.arrived:
		t.Fatalf("something was taken for the redirect: %+v", a)
	default:
	}
	shown := make(chan page, 1)
	safego.Go(func() error { shown <- browse(t, "GET", right, ""); return nil })
	if a := <-l.arrived; a.code != "c1" || a.err != nil {
		t.Errorf("arrived: %+v", a)
	}
	l.finish(Outcome{State: LoggedIn, Identity: "/CN=Jane"})
	if p := <-shown; p.status != 200 || !strings.Contains(p.body, "You are logged in") || !strings.Contains(p.body, "/CN=Jane") {
		t.Errorf("the page: %+v", p)
	}
}

// TestListenerRaw: what no browser sends gets no further than a wrong address.
func TestListenerRaw(t *testing.T) {
	l := startListener(t, freeURI(t, "127.0.0.1"))
	host := "Host: " + l.home.Host + "\r\n"
	for what, test := range map[string]struct{ request, status string }{
		"HTTP/1.0":      {"GET /callback?state=right&code=c HTTP/1.0\r\n\r\n", " 404 "},
		"two hosts":     {"GET /callback?state=right&code=c HTTP/1.1\r\n" + host + host + "\r\n", " 400 "},
		"to a proxy":    {"GET http://evil.example.org/callback?state=right&code=c HTTP/1.1\r\n" + host + "\r\n", " 404 "},
		"CONNECT":       {"CONNECT " + l.home.Host + " HTTP/1.1\r\n" + host + "\r\n", " 404 "},
		"huge header":   {"GET /callback?state=right&code=c HTTP/1.1\r\n" + host + "X: " + strings.Repeat("a", 2*maxRedirectHeader) + "\r\n\r\n", " 431 "},
		"huge address":  {"GET /callback?state=right&code=" + strings.Repeat("a", 2*maxRedirectHeader) + " HTTP/1.1\r\n" + host + "\r\n", " 431 "},
		"TLS":           {"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", " 400 "},
		"endless chunk": {"POST /callback?state=right&code=c HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nfffffff\r\n", " 405 "},
	} {
		conn, err := net.Dial("tcp", l.home.Host)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, test.request) // a server that has seen enough closes
		first, _ := bufio.NewReader(conn).ReadString('\n')
		if !strings.Contains(first, test.status) {
			t.Errorf("%s: %q, expected%s", what, first, test.status)
		}
		conn.Close()
	}
	select {
	case a := <-l.arrived:
		t.Errorf("something was taken for the redirect: %+v", a)
	default:
	}
}

// TestListenerTabs: a tab that was closed ends nothing, and a reload or a second
// tab is told the end as well.
func TestListenerTabs(t *testing.T) {
	l := startListener(t, freeURI(t, "127.0.0.1"))
	ctx, closeTab := context.WithCancel(t.Context())
	r, _ := http.NewRequestWithContext(ctx, "GET", l.URI+"?state=right&code=c1", nil)
	closed := safego.Go(func() error {
		answer, err := (&http.Transport{}).RoundTrip(r)
		if err == nil {
			err = answer.Body.Close()
		}
		return err
	})
	if a := <-l.arrived; a.code != "c1" {
		t.Errorf("arrived: %+v", a)
	}
	closeTab()
	if err := <-closed; !errors.Is(err, context.Canceled) {
		t.Errorf("closed tab: %v", err)
	}
	shown := make(chan page, 1)
	safego.Go(func() error { shown <- browse(t, "GET", l.URI+"?state=right&code=c2", ""); return nil })
	if a := <-l.arrived; a.code != "c2" { // nobody would listen any more
		t.Errorf("arrived again: %+v", a)
	}
	select {
	case p := <-shown:
		t.Fatalf("a page before the end: %+v", p)
	default:
	}
	l.finish(Outcome{State: Failed, Message: "the portal refused"})
	if p := <-shown; !strings.Contains(p.body, "the portal refused") {
		t.Errorf("the page: %+v", p)
	}
}

// TestListenerWaitsForThePortal: the page waits for as long as the portal needs,
// which may be more than a browser has for its request.
func TestListenerWaitsForThePortal(t *testing.T) {
	l, err := listenFor(t.Context(), []string{freeURI(t, "127.0.0.1")}, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	l.expect(func(string) (string, error) { return "c1", nil })
	shown := make(chan page, 1)
	came := make(chan struct{})
	safego.Go(func() error {
		for {
			p, err := tryBrowse(t, "GET", l.URI+"?code=c1", "")
			select {
			case <-came:
			default:
				if err != nil { // a slow machine needs more than one try to ask in that time
					continue
				}
			}
			shown <- p
			return err
		}
	})
	<-l.arrived
	close(came)
	// Who connects now and says nothing is sent away: the time of the page before
	// is over by then.
	silent, err := net.Dial("tcp", l.home.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if _, err := io.ReadAll(silent); err != nil {
		t.Errorf("the silent one: %v", err)
	}
	l.finish(Outcome{State: LoggedIn, Identity: "/CN=Jane"})
	if p := <-shown; p.status != 200 || !strings.Contains(p.body, "/CN=Jane") {
		t.Errorf("the page: %+v", p)
	}
}

// TestListenerDeclined: what the portal says in place of a code ends the wait.
func TestListenerDeclined(t *testing.T) {
	l := startListener(t, freeURI(t, "127.0.0.1"))
	shown := make(chan page, 1)
	safego.Go(func() error { shown <- browse(t, "GET", l.URI+"?state=right&error=access_denied", ""); return nil })
	a := <-l.arrived
	if refused := new(AuthorizationError); !errors.As(a.err, &refused) || refused.Code != "access_denied" {
		t.Errorf("arrived: %+v", a)
	}
	l.finish(Outcome{State: Declined})
	if p := <-shown; !strings.Contains(p.body, "declined") {
		t.Errorf("the page: %+v", p)
	}
}

// TestListenerPorts: the first registered port that is free is taken, another
// one never, and with localhost both families must be ours.
func TestListenerPorts(t *testing.T) {
	first, second := freeURI(t, "127.0.0.1"), freeURI(t, "127.0.0.1")
	taken := startListener(t, first)
	if l := startListener(t, first, second); l.URI != second {
		t.Errorf("listens on %s, expected %s", l.URI, second)
	}
	_, err := listen(t.Context(), []string{first, second})
	if full := new(ListenError); !errors.As(err, &full) || !strings.Contains(err.Error(), taken.home.Host) {
		t.Errorf("nothing free: %v", err)
	}
	local := startListener(t, freeURI(t, "localhost"))
	for _, address := range []string{"127.0.0.1", "::1"} {
		if address == "::1" && !hasIPv6(t.Context()) {
			continue
		}
		conn, err := net.Dial("tcp", net.JoinHostPort(address, local.home.Port()))
		if err != nil {
			t.Errorf("localhost at %s: %v", address, err)
			continue
		}
		conn.Close()
	}
}

// TestListenerHalfTaken: somebody who has one of localhost's two addresses could
// get the code, so the port counts as taken.
func TestListenerHalfTaken(t *testing.T) {
	if !hasIPv6(t.Context()) {
		t.Skip("this machine has no IPv6")
	}
	uri := freeURI(t, "localhost")
	u, _ := loopbackURI(uri)
	other, err := net.Listen("tcp", net.JoinHostPort("::1", u.Port()))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if l, err := listen(t.Context(), []string{uri}); err == nil {
		l.finish(Outcome{})
		t.Error("it listens on half of localhost")
	}
}

// TestLoopbackURI: we never listen where others could reach us.
func TestLoopbackURI(t *testing.T) {
	for uri, good := range map[string]bool{
		"http://127.0.0.1:8180/callback": true, "http://localhost:8180/": true, "http://[::1]:8180/a/b": true,
		"https://127.0.0.1:8180/callback": false, "http://127.0.0.1/callback": false, "http://0.0.0.0:8180/": false,
		"http://192.168.1.2:8180/": false, "http://localhost.example.org:8180/": false, "http://jane@127.0.0.1:8180/": false,
		"http://127.0.0.1:8180/?a=b": false, "http://127.0.0.1:8180/#a": false, "org.example:/cb": false, "": false, "http://[::1": false,
	} {
		if _, err := loopbackURI(uri); (err == nil) != good {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

// TestListenerCloses: the end does not wait for a browser that has connected
// and says nothing, and afterwards the port is free.
func TestListenerCloses(t *testing.T) {
	l := startListener(t, freeURI(t, "127.0.0.1"))
	conn, err := net.Dial("tcp", l.home.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	begin := time.Now()
	l.finish(Outcome{State: Failed})
	l.finish(Outcome{State: LoggedIn})
	if took := time.Since(begin); took >= browserTimeout {
		t.Errorf("took %v", took)
	}
	again, err := listen(t.Context(), []string{l.URI})
	if err != nil {
		t.Fatal(err)
	}
	again.finish(Outcome{})
}

// TestListenerVisitors: whoever is on this machine may connect, and no more often
// than there is room for; who has gone makes room.
func TestListenerVisitors(t *testing.T) {
	l, err := listenFor(t.Context(), []string{freeURI(t, "127.0.0.1")}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.finish(Outcome{State: Failed}) })
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", l.home.Host)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second)) // the silent ones would be heard for longer
		return conn
	}
	var silent []net.Conn
	for range maxVisitors {
		silent = append(silent, dial())
	}
	if _, err := dial().Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("one more was let in: %v", err)
	}
	silent[0].Close()
	for begin := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		conn := dial()
		_, _ = io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
		first, err := bufio.NewReader(conn).ReadString('\n')
		if strings.Contains(first, " 404 ") {
			break
		}
		if time.Since(begin) > time.Minute {
			t.Fatalf("there is no room again: %q, %v", first, err)
		}
	}
}
