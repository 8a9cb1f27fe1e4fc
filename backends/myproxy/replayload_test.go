package myproxy

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/internal/vectors"
)

// recording is a conversation with a real myproxy-server; one message is one
// TLS record.
type recording struct {
	Name       string    `json:"name"`
	TLS        string    `json:"tls"`
	ClientCert string    `json:"client_certificate"`
	RecordedAt time.Time `json:"recorded_at"`
	ClientKey  string    `json:"client_key"`
	Renewal    string    `json:"renewal_credential"`
	End        string    `json:"end"`
	Messages   []message `json:"messages"`
	dir        string
	renew      *gsi.Credential // Renewal, parsed
}

type message struct {
	From   string  `json:"from"`
	Layer  string  `json:"layer"`
	Text   *string `json:"text"`
	Base64 string  `json:"base64"`
	Note   string  `json:"note"` // no part of the data
}

// UnmarshalJSON refuses what would be left out of a replay without a word.
func (m *message) UnmarshalJSON(text []byte) error {
	type plain message
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode((*plain)(m))
}

func (m *message) bytes(t testing.TB) []byte {
	t.Helper()
	if m.Text != nil {
		return []byte(*m.Text)
	}
	b, err := base64.StdEncoding.DecodeString(m.Base64)
	must(t, err)
	return b
}

// The ends that a conversation can have; behind the words more may follow.
const (
	endClosed    = "server closed the TCP connection without close_notify"
	endClearText = "server answered outside TLS"
	endSilence   = "no further bytes"
	endClient    = "client closed the connection"
	endAlert     = "client saw: remote error: "
)

// demandKnown fails where a recording is of a kind that no test here replays.
func (r *recording) demandKnown(t testing.TB, file string) {
	t.Helper()
	known := r.TLS == "1.2" || r.TLS == "1.3"
	known = known && slices.ContainsFunc([]string{endClosed, endClearText, endSilence, endClient, endAlert}, func(end string) bool {
		return strings.HasPrefix(r.End, end)
	})
	for i := range r.Messages {
		m := &r.Messages[i]
		known = known && (m.From == "client" || m.From == "server") && (m.Layer == "" || m.Layer == "tcp") && (m.Text != nil) != (m.Base64 != "")
	}
	if !known {
		t.Fatalf("%s is of no kind that can be replayed", file)
	}
}

func recordings(t testing.TB, glob string) []*recording {
	t.Helper()
	dir := vectors.Dir(t, "myproxy")
	names, err := filepath.Glob(filepath.Join(dir, glob))
	if err != nil || len(names) == 0 {
		t.Fatalf("no recordings %s in %s: %v", glob, dir, err)
	}
	recs := make([]*recording, len(names))
	for i, name := range names {
		data, err := os.ReadFile(name)
		must(t, err)
		recs[i] = &recording{dir: dir}
		if err := json.Unmarshal(data, recs[i]); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		recs[i].demandKnown(t, name)
		recs[i].adapt()
		if recs[i].Renewal != "" {
			recs[i].renew, err = gsi.ParseCredential([]byte(recs[i].Renewal))
			must(t, err)
		}
	}
	return recs
}
