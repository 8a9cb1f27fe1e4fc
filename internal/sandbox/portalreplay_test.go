package sandbox

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/vectors"
)

// exchange is one recorded request to a real portal and its answer.
type exchange struct {
	Name       string      `json:"name"`
	What       string      `json:"what"`
	Notes      string      `json:"notes"`
	RecordedAt time.Time   `json:"recorded_at"`
	Request    recordedAsk `json:"request"`
	Response   struct {
		Status  int         `json:"status"`
		Headers [][2]string `json:"headers"`
		Body    string      `json:"body"`
	} `json:"response"`

	uses, gives []string // tokens
}

type recordedAsk struct {
	Method  string      `json:"method"`
	Path    string      `json:"path"`
	Auth    []string    `json:"auth"` // told by headers and parameters, too
	Headers [][2]string `json:"headers"`
	Form    [][2]string `json:"form"`
	Query   [][2]string `json:"query"`
}

// UnmarshalJSON refuses what would be left out of a replay without a word.
func (r *recordedAsk) UnmarshalJSON(text []byte) error {
	type plain recordedAsk
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode((*plain)(r))
}

// The recorded portal.
const (
	recordedOrigin  = "https://localhost:18440"
	recordedClients = "myproxy:oa4mp,2012:/client_id/"
)

// Every recorded exchange is held again, one after the other by the clock of
// the recordings. Status, headers and the shape of the body must be the real
// portal's; error texts and redirects are compared to the letter. Sessions
// whose beginning is in no recording are made up when a token of theirs is
// first seen; what kills a token is replayed and not made up, but for the list
// in portalreplaystate_test.go.
func TestPortalReplay(t *testing.T) {
	exchanges := readExchanges(t)
	r := newReplay(t)
	for _, e := range exchanges {
		t.Run(e.Name, func(t *testing.T) { r.play(t, e) })
	}
	if len(exchanges) == 0 {
		t.Error("no exchanges found")
	}
}

// readExchanges reads the recordings and puts them in order.
func readExchanges(t *testing.T) []*exchange {
	t.Helper()
	dir := vectors.Dir(t, "rcauth")
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var exchanges []*exchange
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		e := new(exchange)
		if err := json.Unmarshal(data, e); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		e.uses, e.gives = tokensIn(e.Request), tokensIn(e.Response)
		exchanges = append(exchanges, e)
	}
	slices.SortFunc(exchanges, func(a, b *exchange) int {
		return cmp.Or(a.RecordedAt.Compare(b.RecordedAt), cmp.Compare(a.Name, b.Name))
	})
	return inOrder(exchanges, readChains(t, filepath.Join(dir, "README.md")))
}

// tokensIn finds the recorded tokens in a part of an exchange, escaped or not.
func tokensIn(part any) []string {
	text, _ := json.Marshal(part)
	return recordedToken.FindAllString(strings.NewReplacer("%3A", ":", "%2F", "/").Replace(string(text)), -1)
}

// inOrder sorts exchanges of the same second, for the clock of the recordings
// knows no less: first what gives a token, then what says that it leaves it
// good, then what uses it; and those that belong together as the list says.
func inOrder(exchanges []*exchange, chains map[string]int) []*exchange {
	before := func(a, b *exchange) bool { // a must come before b
		shared := slices.ContainsFunc(a.uses, func(token string) bool { return slices.Contains(b.uses, token) })
		given := slices.ContainsFunc(a.gives, func(token string) bool { return slices.Contains(b.uses, token) })
		chained := chains[a.Name] > 0 && chains[a.Name] < chains[b.Name] && chains[a.Name]/chainLength == chains[b.Name]/chainLength
		return given || chained || shared && (a.leaves() && !b.leaves() || b.repeats() && !a.repeats())
	}
	var sorted []*exchange
	for len(exchanges) > 0 {
		next := slices.IndexFunc(exchanges, func(e *exchange) bool {
			return !slices.ContainsFunc(exchanges, func(other *exchange) bool { return other != e && before(other, e) })
		})
		next = max(next, 0)
		sorted = append(sorted, exchanges[next])
		exchanges = slices.Delete(exchanges, next, next+1)
	}
	return sorted
}

// leaves says whether the recording tells that its token stays good.
func (e *exchange) leaves() bool { return strings.Contains(e.Notes, "stays good after this answer") }

// repeats says whether the recording tells that its token was used before.
func (e *exchange) repeats() bool { return strings.Contains(e.What, "second time") }

// chainLength is more than a chain has exchanges.
const chainLength = 100

// readChains gives the names in the README's section of chains their places:
// the number of the chain times chainLength, and the place in it.
func readChains(t *testing.T, file string) map[string]int {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(data), "## Chains")
	section, _, _ = strings.Cut(section, "\n## ")
	places := map[string]int{}
	for i, chain := range regexp.MustCompile(`\n[0-9]+\. `).Split(section, -1)[1:] {
		for j, name := range regexp.MustCompile(`[a-z]+(_[a-z0-9]+)+`).FindAllString(chain, -1) {
			places[name] = (i+1)*chainLength + j
		}
	}
	return places
}

// param is the first value of a parameter of the recorded request.
func (e *exchange) param(name string) (string, bool) {
	for _, pair := range slices.Concat(e.Request.Form, e.Request.Query) {
		if pair[0] == name {
			return pair[1], true
		}
	}
	return "", false
}

func (e *exchange) header(name string) string {
	for _, pair := range e.Response.Headers {
		if pair[0] == name {
			return pair[1]
		}
	}
	return ""
}

// play sends a request again and compares the answer.
func (r *replay) play(t *testing.T, e *exchange) {
	w := r.world(e)
	w.prepare(t, e)
	request, err := http.NewRequestWithContext(t.Context(), e.Request.Method, w.p.origin()+e.Request.Path, strings.NewReader(encodePairs(w, t, e, e.Request.Form)))
	if err != nil {
		t.Fatal(err)
	}
	request.URL.RawQuery = encodePairs(w, t, e, e.Request.Query)
	for _, pair := range e.Request.Headers {
		value := w.translated(t, e, pair[1])
		if pair[0] == "Cookie" {
			value = w.cookie(t, e)
		}
		request.Header.Add(pair[0], value)
	}
	response, err := w.client.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	w.compare(t, e, response, string(body))
}

func encodePairs(w *replayWorld, t *testing.T, e *exchange, pairs [][2]string) string {
	var parts []string
	for _, pair := range pairs {
		parts = append(parts, url.QueryEscape(pair[0])+"="+url.QueryEscape(w.translated(t, e, pair[1])))
	}
	return strings.Join(parts, "&")
}
