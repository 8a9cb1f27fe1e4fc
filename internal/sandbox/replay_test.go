package sandbox

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/vectors"
)

// recording is one conversation with the real server.
type recording struct {
	Name       string            `json:"name"`
	Server     string            `json:"server"`
	TLS        string            `json:"tls"`
	Client     string            `json:"client_certificate"`
	RecordedAt time.Time         `json:"recorded_at"`
	Renewal    string            `json:"renewal_credential"`
	Messages   []recordedMessage `json:"messages"`
	End        string            `json:"end"`
}

type recordedMessage struct {
	From   string  `json:"from"`
	Layer  string  `json:"layer"`
	Text   *string `json:"text"`
	Base64 string  `json:"base64"`
	Note   string  `json:"note"` // no part of the data

	data []byte
}

// UnmarshalJSON refuses what would be left out of a replay without a word.
func (m *recordedMessage) UnmarshalJSON(text []byte) error {
	type plain recordedMessage
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode((*plain)(m))
}

const normalEnd = "server closed the TCP connection without close_notify"

// Every recorded conversation is held again, with the client's bytes of the
// recording or, where those answer what the server made up, with bytes of the
// same meaning. The server must answer the same text in the same TLS records;
// certificates must be as many, of the same kind and length of life, with the
// same extensions in the same order. What the server had in its repository is
// told from the recording itself: nothing here knows the name of one.
func TestReplay(t *testing.T) {
	dir := vectors.Dir(t, "myproxy")
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	known := readLab(t, dir)
	for _, file := range files {
		r := readRecording(t, file)
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Parallel()
			p := &player{t: t, r: r, lab: known}
			p.play()
		})
	}
	if len(files) == 0 {
		t.Errorf("no conversations found in %s", dir)
	}
}

func readRecording(t *testing.T, file string) *recording {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r := new(recording)
	if err := json.Unmarshal(data, r); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for i := range r.Messages {
		m := &r.Messages[i]
		if m.Text != nil {
			m.data = []byte(*m.Text)
		} else if m.data, err = base64.StdEncoding.DecodeString(m.Base64); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	return r
}

// player holds a conversation again.
type player struct {
	t   *testing.T
	r   *recording
	lab *recordedLab
	s   *Sandbox
	c   *client

	records  int    // of the server, that were read
	recorded []byte // the server's last message in the recording
	answer   []byte // the sandbox's in its place
}

func (p *player) play() {
	p.t.Helper()
	p.s = p.lab.server(p.t, p.r)
	if request := p.request(); request != nil {
		p.lab.state(p.t, p.s, p.r, request)
	}
	version, known := map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}[p.r.TLS]
	if !known {
		p.t.Fatalf("no such version of TLS: %q", p.r.TLS)
	}
	identity := p.lab.identity(p.t, p.r)
	if strings.Contains(p.r.End, "remote error") {
		p.refused(version, identity)
		return
	}
	p.c = dial(p.t, p.s, version, identity)
	for i := 0; i < len(p.r.Messages); i++ {
		m := p.r.Messages[i]
		switch {
		case m.From != "client" && m.From != "server" || m.Layer != "" && m.Layer != "tcp":
			p.t.Fatalf("message %d is from %q, layer %q: nothing says how to replay it", i, m.From, m.Layer)
		case m.From == "client":
			if i > 0 && p.r.Messages[i-1].From == "client" {
				time.Sleep(50 * time.Millisecond) // so that they are two writes for the kernel too
			}
			p.c.send(string(p.message(m.data)))
		case m.Layer == "tcp":
			p.c.raw.compareRaw(p.t, m.data)
		case bytes.Contains(m.data, []byte("\nTRUSTED_CERTS=")):
			for !bytes.HasSuffix(p.r.Messages[i].data, []byte{0}) { // the next records are its rest
				i++
			}
			compareRoots(p.t, p.longResponse())
		default:
			p.recorded, p.answer = m.data, p.c.record()
			p.records++
			p.compare()
		}
	}
	p.end()
}

// end compares how the conversation ended.
func (p *player) end() {
	p.t.Helper()
	switch {
	case p.r.End == normalEnd:
		if got := p.c.record(); len(got) != 0 {
			p.t.Fatalf("after the last message: %q", got)
		}
		if got := p.c.raw.records(p.t); got != p.records {
			p.t.Errorf("%d TLS records from the server, %d of them with a message: a close_notify?", got, p.records)
		}
	case strings.HasPrefix(p.r.End, "server answered outside TLS"), strings.HasPrefix(p.r.End, "client closed"):
	case strings.HasPrefix(p.r.End, "no further bytes"):
		_ = p.c.raw.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		var timeout net.Error
		if n, err := p.c.tls.Read(make([]byte, 10)); !errors.As(err, &timeout) || !timeout.Timeout() {
			p.t.Errorf("the server should wait in vain, but: %d bytes, %v", n, err)
		}
	default:
		p.t.Fatalf("no such end: %q", p.r.End)
	}
}

// refused is a client certificate that gets an alert: in the handshake of TLS
// 1.2, at the first read in TLS 1.3. (Which alert differs.)
func (p *player) refused(version uint16, identity *tls.Certificate) {
	p.t.Helper()
	raw := rawDial(p.t, p.s)
	_ = raw.SetDeadline(time.Now().Add(patience))
	conn := tls.Client(raw, clientConfig(version, identity))
	err := conn.Handshake()
	if version == tls.VersionTLS13 {
		if err != nil {
			p.t.Fatalf("in TLS 1.3 the client's handshake is over before the alert: %v", err)
		}
		_, err = conn.Read(make([]byte, 1))
	}
	var alert *net.OpError
	if !errors.As(err, &alert) || alert.Op != "remote error" {
		p.t.Errorf("want an alert, got %v", err)
	}
}

// request is the recorded request, nil if the server could not parse it or
// never saw it.
func (p *player) request() *request {
	for _, m := range p.r.Messages {
		if m.From == "client" && bytes.Contains(m.data, []byte("COMMAND=")) {
			if r, err := parseRequest(m.data); err == nil {
				return r
			}
			return nil
		}
	}
	return nil
}

// longResponse reads a response that may need several records; all but the
// last are full.
func (p *player) longResponse() string {
	p.t.Helper()
	var all []byte
	for {
		record := p.c.record()
		p.records++
		all = append(all, record...)
		if len(record) == 0 || bytes.HasSuffix(record, []byte{0}) {
			return string(all)
		}
		if len(record) != recordSize {
			p.t.Fatalf("a record of %d bytes that is not the last", len(record))
		}
	}
}
