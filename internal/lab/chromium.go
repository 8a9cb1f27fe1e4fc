package lab

import (
	"bufio"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// Chromium is a real browser without a window, driven through its DevTools over
// a pipe: one page, and somebody who looks at it and clicks.
type Chromium struct {
	t       TB
	server  *server
	to      *os.File
	answers chan devTools
	next    int
	session string
}

// devTools is one message of the DevTools protocol.
type devTools struct {
	ID      int             `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Params  any             `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// maxDevTools bounds one message; a picture of a page is one.
const maxDevTools = 64 << 20

// StartChromium starts a browser that takes, beside what it trusts anyway, the
// key of this certificate for that of any host: it has a trust store of its own
// that a test cannot reach.
func StartChromium(t TB, trusted *x509.Certificate) *Chromium {
	t.Helper()
	Require(t, WebBrowser)
	id := LeakCheck(t)
	dir := tempDir(t, "chromium")
	pin := sha256.Sum256(trusted.RawSubjectPublicKeyInfo)
	theirIn, ourOut := pipe(t)
	ourIn, theirOut := pipe(t)
	env := []string{id, "HOME=" + dir, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "XDG_RUNTIME_DIR=" + dir, "TMPDIR=" + dir}
	c := &Chromium{t: t, to: ourOut, answers: make(chan devTools, 64)}
	c.server = start(t, "chromium", dir, env, nil, []*os.File{theirIn, theirOut}, // descriptors 3 and 4
		"chromium", "--headless=new", "--remote-debugging-pipe", "--user-data-dir="+filepath.Join(dir, "profile"),
		"--no-sandbox", // root, as in a container, cannot have one
		"--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions", "--disable-background-networking",
		"--ignore-certificate-errors-spki-list="+base64.StdEncoding.EncodeToString(pin[:]), "about:blank")
	_, _ = theirIn.Close(), theirOut.Close()
	t.Cleanup(func() {
		_ = ourOut.Close() // that ends it
		c.server.end()
		_ = ourIn.Close()
	})
	safego.Go(func() error { return c.listen(ourIn) })
	var target struct {
		ID string `json:"targetId"`
	}
	c.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct {
		Session string `json:"sessionId"`
	}
	c.call("Target.attachToTarget", map[string]any{"targetId": target.ID, "flatten": true}, &attached)
	c.session = attached.Session
	return c
}

func pipe(t TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return r, w
}

// listen passes on answers; events are not for us. Messages end with a NUL.
func (c *Chromium) listen(from *os.File) error {
	defer close(c.answers)
	in := bufio.NewReaderSize(from, 1<<16)
	for {
		text, err := in.ReadBytes(0)
		if err != nil || len(text) > maxDevTools {
			return err
		}
		var m devTools
		if json.Unmarshal(text[:len(text)-1], &m) == nil && m.ID != 0 {
			c.answers <- m
		}
	}
}

func (c *Chromium) call(method string, params map[string]any, result any) {
	c.t.Helper()
	if err := c.try(method, params, result); err != nil {
		c.t.Fatalf("chromium: %s: %v", method, err)
	}
}

// try returns what the browser says against a call.
func (c *Chromium) try(method string, params map[string]any, result any) error {
	c.t.Helper()
	c.next++
	text, err := json.Marshal(devTools{ID: c.next, Method: method, Session: c.session, Params: params})
	if err == nil {
		_, err = c.to.Write(append(text, 0))
	}
	if err != nil {
		c.t.Fatalf("chromium: %s: %v", method, err)
	}
	timer := time.NewTimer(startTimeout)
	defer timer.Stop()
	select {
	case m, ok := <-c.answers:
		switch {
		case !ok || m.ID != c.next:
			c.t.Fatalf("chromium has ended during %s", method)
		case m.Error != nil:
			return errors.New(m.Error.Message)
		case result != nil:
			return json.Unmarshal(m.Result, result)
		}
	case <-timer.C:
		c.t.Fatalf("chromium does not answer %s", method)
	}
	return nil
}

// Open goes to an address. It does not wait for the page, which may need
// somebody else's doing.
func (c *Chromium) Open(address string) {
	c.t.Helper()
	c.Evaluate("void(location.href=" + quoted(address) + ")")
}

func quoted(text string) string {
	q, _ := json.Marshal(text) // a string cannot fail
	return string(q)
}

// Evaluate runs JavaScript in the page, as the user's hand and eye: pages that
// forbid scripts do not forbid that. The result is a text.
func (c *Chromium) Evaluate(script string) string {
	c.t.Helper()
	text, err := c.evaluate(script)
	if err != nil {
		c.t.Fatalf("chromium: %s: %v", script, err)
	}
	return text
}

func (c *Chromium) evaluate(script string) (string, error) {
	c.t.Helper()
	var answer struct {
		Result struct {
			Value any `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text string `json:"text"`
		} `json:"exceptionDetails"`
	}
	err := c.try("Runtime.evaluate", map[string]any{"expression": script, "returnByValue": true}, &answer)
	switch {
	case err != nil:
		return "", err
	case answer.Exception != nil:
		return "", errors.New(answer.Exception.Text)
	case answer.Result.Value == nil:
		return "", nil
	}
	return fmt.Sprint(answer.Result.Value), nil
}

// WaitTitle waits for a page of that title. A question that meets one page going
// and the next one coming is refused.
func (c *Chromium) WaitTitle(title string) {
	c.t.Helper()
	c.server.waitFor("page with the title "+title, func() bool {
		got, err := c.evaluate("document.readyState+' '+document.title")
		return err == nil && got == "complete "+title
	})
}

// Scheme makes the user one who likes "light" or "dark", in a window of that
// width; Scripts off is one who allows none.
func (c *Chromium) Scheme(scheme string, width int) {
	c.t.Helper()
	c.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	c.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 700, "deviceScaleFactor": 1, "mobile": false}, nil)
}

// NoScripts makes the browser run no script of a page.
func (c *Chromium) NoScripts() {
	c.t.Helper()
	c.call("Emulation.setScriptExecutionDisabled", map[string]any{"value": true}, nil)
}

// Picture is what the page looks like, a PNG.
func (c *Chromium) Picture() []byte {
	c.t.Helper()
	var answer struct {
		Data []byte `json:"data"`
	}
	c.call("Page.captureScreenshot", map[string]any{"format": "png"}, &answer)
	return answer.Data
}

// Node is one thing on a page as a screen reader has it.
type Node struct{ Role, Name string }

// Spoken is the page as a screen reader has it, without what it passes over.
func (c *Chromium) Spoken() []Node {
	c.t.Helper()
	var answer struct {
		Nodes []struct {
			Ignored bool
			Role    struct{ Value string }
			Name    struct{ Value string }
		} `json:"nodes"`
	}
	c.call("Accessibility.getFullAXTree", nil, &answer)
	var nodes []Node
	for _, n := range answer.Nodes {
		if !n.Ignored {
			nodes = append(nodes, Node{n.Role.Value, n.Name.Value})
		}
	}
	return nodes
}
