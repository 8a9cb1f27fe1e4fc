package myproxy

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// fields are the lines of a recorded request.
type fields map[string][]string

func (f fields) get(key string) string { return strings.Join(f[key], "") }

// asked returns the recorded request. canonical says that this client could
// have written it: every line once, all that are mandatory, a NUL at the end.
func (r *recording) asked() (f fields, canonical bool) {
	f = fields{}
	for i := range r.Messages {
		m := &r.Messages[i]
		if m.From != "client" || m.Text == nil || !strings.HasPrefix(*m.Text, "VERSION=") || len(f) > 0 {
			continue
		}
		body, terminated := strings.CutSuffix(*m.Text, "\n\x00")
		canonical = terminated
		for line := range strings.SplitSeq(body, "\n") {
			key, value, _ := strings.Cut(line, "=")
			f[key] = append(f[key], value)
			canonical = canonical && slices.Contains(tokens[:], key+"=") && (len(f[key]) == 1 || key == "VONAME" || key == "VOMSES")
		}
	}
	for _, key := range []string{"VERSION", "COMMAND", "USERNAME", "PASSPHRASE", "LIFETIME"} {
		canonical = canonical && len(f[key]) == 1
	}
	return f, canonical && f.get("VERSION") == "MYPROXYv2" && f.ours() && !r.hasty()
}

// clientData is the nth thing that the recorded client sent after its request.
func (r *recording) clientData(t testing.TB, n int) []byte {
	t.Helper()
	for i := range r.Messages {
		m := &r.Messages[i]
		if m.From != "client" || m.Text != nil && (*m.Text == "0" || strings.HasPrefix(*m.Text, "VERSION=")) {
			continue
		}
		if n--; n < 0 {
			return m.bytes(t)
		}
	}
	return nil
}

func seconds(text string) time.Duration {
	n, _ := strconv.Atoi(text)
	return time.Duration(n) * time.Second
}

// request makes the recorded GET. The certificate request is the recorded one, so
// that every record can be compared.
func (r *recording) request(t testing.TB) LogonRequest {
	t.Helper()
	f, _ := r.asked()
	req := LogonRequest{
		Username: f.get("USERNAME"), Passphrase: []byte(f.get("PASSPHRASE")), Lifetime: seconds(f.get("LIFETIME")),
		CredentialName: f.get("CRED_NAME"), TrustRoots: f.get("TRUSTED_CERTS") == "1", VOMS: f["VONAME"], VOMSES: f["VOMSES"],
	}
	if len(f) == 0 { // the handshake failed
		req.Username, req.Passphrase = "nobody", []byte(canary)
	}
	csr := r.clientData(t, 0)
	if r.Renewal != "" {
		req.Renew = r.renew
		csr = r.clientData(t, 1)
	}
	req.CSR = func(context.Context) ([]byte, error) {
		if csr == nil {
			return nil, errors.New("the recorded client was not asked for a certificate request")
		}
		return csr, nil
	}
	return req
}

// call does with the client what was recorded, and checks what it gets.
func (r *recording) call(t *testing.T, c *Client) error {
	t.Helper()
	f, _ := r.asked()
	user, name, pass := f.get("USERNAME"), f.get("CRED_NAME"), []byte(f.get("PASSPHRASE"))
	policy := Policy{Retriever: f.get("RETRIEVER"), Renewer: f.get("RENEWER"), TrustedRetriever: f.get("RETRIEVER_TRUSTED"), KeyRetriever: f.get("KEYRETRIEVERS")}
	switch command(f.get("COMMAND")) {
	case commandGet:
		return r.callLogon(t, c)
	case commandPut:
		_, err := c.Put(t.Context(), PutRequest{Username: user, Passphrase: pass, NoPassphrase: len(pass) == 0, CredentialName: name,
			Description: f.get("CRED_DESC"), MaxLifetime: seconds(f.get("LIFETIME")), Policy: policy})
		return err
	case commandInfo:
		got, err := c.Info(t.Context(), InfoRequest{Username: user})
		if err == nil {
			r.checkInfo(t, got)
		}
		return err
	case commandDestroy:
		return c.Destroy(t.Context(), DestroyRequest{Username: user, CredentialName: name})
	case commandChange:
		return c.ChangePassphrase(t.Context(), ChangeRequest{Username: user, CredentialName: name, Old: pass, New: []byte(f.get("NEW_PHRASE"))})
	case commandStore:
		pem := r.clientData(t, 0)
		_, err := c.Store(t.Context(), StoreRequest{Username: user, Passphrase: pass, CredentialName: name, Description: f.get("CRED_DESC"),
			MaxLifetime: seconds(f.get("LIFETIME")), Policy: policy, Certificate: pem, Key: pem})
		return err
	case commandRetrieve:
		got, err := c.Retrieve(t.Context(), RetrieveRequest{Username: user, Passphrase: pass, CredentialName: name, TrustRoots: f.get("TRUSTED_CERTS") == "1"})
		if err == nil {
			r.checkRetrieved(t, got)
		}
		return err
	case commandTrustRoots:
		got, err := c.GetTrustRoots(t.Context(), TrustRootsRequest{Username: user, Passphrase: pass})
		if err == nil {
			r.checkRoots(t, got.Files)
		}
		return err
	}
	return &RequestError{Field: "command", Reason: "is not one of this client's"}
}

func (r *recording) callLogon(t *testing.T, c *Client) error {
	t.Helper()
	req := r.request(t)
	got, err := c.Logon(t.Context(), req)
	if err != nil {
		return err
	}
	r.verify(t, got.Chain)
	if req.TrustRoots {
		r.checkRoots(t, got.TrustRoots)
	} else if got.TrustRoots != nil {
		t.Error("trust roots that nobody asked for")
	}
	return nil
}

// said is everything that the server said, as one text.
func (r *recording) said(t testing.TB) string {
	var all []byte
	for i := range r.Messages {
		if m := &r.Messages[i]; m.From == "server" {
			all = append(all, m.bytes(t)...)
		}
	}
	return string(all)
}

// checkInfo compares the result with the lines that the server sent, counted
// without the parser under test.
func (r *recording) checkInfo(t *testing.T, got *InfoResult) {
	t.Helper()
	text := r.said(t)
	if n := strings.Count(text, "_OWNER="); n != len(got.Credentials) {
		t.Errorf("%d credentials of %d", len(got.Credentials), n)
	}
	for _, c := range got.Credentials {
		prefix := "\nCRED_"
		if strings.Contains(text, "\nCRED_"+c.Name+"_OWNER=") {
			prefix += c.Name + "_"
		}
		for key, value := range map[string]string{
			"OWNER": c.Owner, "DESC": c.Description, "RETRIEVER": c.Retriever, "RENEWER": c.Renewer, "RETRIEVER_TRUSTED": c.TrustedRetriever,
			"KEYRETRIEVERS": c.KeyRetrievers, "LOCKMSG": c.LockMessage,
			"START_TIME": strconv.FormatInt(c.Start.Unix(), 10), "END_TIME": strconv.FormatInt(c.End.Unix(), 10),
		} {
			if sent := strings.Contains(text, prefix+key+"="); sent && !strings.Contains(text, prefix+key+"="+value+"\n") || !sent && value != "" {
				t.Errorf("credential %q: %s is %q", c.Name, key, value)
			}
		}
	}
}

func (r *recording) checkRetrieved(t *testing.T, got *RetrieveResult) {
	t.Helper()
	if !strings.Contains(r.said(t), string(got.PEM)+"\x00") || !bytes.Contains(got.PEM, got.KeyPEM) || len(got.Certificates) == 0 {
		t.Errorf("%d certificates and %d bytes", len(got.Certificates), len(got.PEM))
	}
	if block, _ := pem.Decode(got.KeyPEM); block == nil || block.Headers["DEK-Info"] == "" && block.Type != "ENCRYPTED PRIVATE KEY" {
		t.Error("the key is not the encrypted one")
	}
}

// checkRoots: the recorded servers sent the recorded trust directory, some of
// them more.
func (r *recording) checkRoots(t *testing.T, got map[string][]byte) {
	t.Helper()
	if !strings.Contains(r.said(t), "TRUSTED_CERTS=") {
		if len(got) > 0 {
			t.Errorf("%d files of a server that has none", len(got))
		}
		return
	}
	paths, err := filepath.Glob(filepath.Join(r.dir, "trust", "*"))
	must(t, err)
	for _, path := range paths {
		if data := readFile(t, path); string(got[filepath.Base(path)]) != string(data) {
			t.Errorf("%s differs", filepath.Base(path))
		}
	}
	if n := strings.Count(r.said(t), "\nFILEDATA_"); n != len(got) {
		t.Errorf("%d files of %d", len(got), n)
	}
}

// says compares what the client sent with what was recorded. The order of a
// request's lines is free: here it is that of the C client. The certificates
// of PUT are new ones each time: what counts is that they fit the request.
func (r *recording) says(got, recorded []byte) bool {
	f, _ := r.asked()
	if bytes.HasPrefix(recorded, []byte("VERSION=")) {
		if command(f.get("COMMAND")) == commandStore { // recorded with the key's pass phrase, which is nobody's business
			recorded = bytes.Replace(recorded, []byte("\nPASSPHRASE="+f.get("PASSPHRASE")+"\n"), []byte("\nPASSPHRASE=\n"), 1)
			got = bytes.Replace(got, []byte("\nPASSPHRASE="+f.get("PASSPHRASE")+"\n"), []byte("\nPASSPHRASE=\n"), 1)
		}
		return slices.Equal(sortedLines(got), sortedLines(recorded))
	}
	switch {
	case bytes.Equal(got, recorded):
		return true
	case command(f.get("COMMAND")) == commandPut && !bytes.Equal(recorded, []byte("0")):
		return r.fitsRequest(got)
	case command(f.get("COMMAND")) == commandStore: // the order of a chain and its key is ours
		return bytes.HasSuffix(got, []byte("\x00")) && slices.Equal(sortedBlocks(got), sortedBlocks(recorded))
	}
	return r.Renewal != "" && r.proves(got) && bytes.HasSuffix(got, chainMessage(r.renew.Chain)) // ECDSA's are never the same twice
}

// fitsRequest says whether msg is a chain for the key of the server's request.
func (r *recording) fitsRequest(msg []byte) bool {
	for i := range r.Messages {
		m := &r.Messages[i]
		if m.From != "server" || m.Text != nil {
			continue
		}
		der, _ := base64.StdEncoding.DecodeString(m.Base64)
		csr, err := x509.ParseCertificateRequest(der)
		if err != nil {
			return false
		}
		chain, err := x509.ParseCertificates(msg[1:])
		if err != nil || len(chain) != int(msg[0]) || !sameKey(csr.PublicKey, chain[0].PublicKey) {
			return false
		}
		return gsi.VerifyChain(chain, gsi.VerifyOptions{Now: r.RecordedAt}) == nil
	}
	return false
}

// raw sends what was recorded, byte for byte, and reads every answer by the
// parser for what it is: for what this client would never say.
func (r *recording) raw(t *testing.T, c *Client) error {
	t.Helper()
	f, _ := r.asked()
	open := c.connect
	if c.open != nil {
		open = c.open
	}
	s, err := open(t.Context(), c.Hosts[0], &exchange{
		request: request{trustRoots: f.get("TRUSTED_CERTS") == "1"}, identity: c.Identity, verify: c.verifier(openTrust(c.Trust)),
	})
	must(t, err)
	defer s.close()
	if s.null > 0 {
		if err := s.awaitNull(); err != nil {
			return err
		}
	}
	for i := range r.Messages {
		if m := &r.Messages[i]; m.From == "client" {
			must(t, s.send("", m.bytes(t)))
			continue
		} else if string(m.bytes(t)) == "\x00" {
			continue
		}
		if err := s.whatever(); err != nil {
			return err
		}
	}
	if strings.HasPrefix(r.End, endSilence) {
		s.timeout = 100 * time.Millisecond
		return s.receiveOK("", StageRequest)
	}
	return nil
}

// whatever reads one message of any kind.
func (s *session) whatever() error {
	s.expectRead()
	first, err := s.in.Peek(1)
	if err != nil {
		return s.ioError("", err)
	}
	switch first[0] {
	case 'V':
		_, err = s.receive("", StageFinal, true)
		return err
	case '-':
		_, err = readText(s.in, maxCertificates)
	case 0x30:
		_, err = readDER(s.in, gsi.MaxRequestBytes, gsi.MaxRequestBytes)
	default:
		_, err = readChain(s.in)
	}
	if err != nil {
		return s.explain("", err)
	}
	return nil
}

// verify checks what the server sent as the helper does, at the time it came.
func (r *recording) verify(t *testing.T, chain []*x509.Certificate) {
	t.Helper()
	sent := r.Messages[len(r.Messages)-2].bytes(t)
	var raw []byte
	for _, c := range chain {
		raw = append(raw, c.Raw...)
	}
	if int(sent[0]) != len(chain) || string(raw) != string(sent[1:]) {
		t.Errorf("%d certificates, not the %d that were sent", len(chain), sent[0])
	}
	cred := &gsi.Credential{Chain: chain, Key: r.key(t)}
	// Recorded with LIFETIME=0: it ended in the second it was signed in.
	expired := r.RecordedAt.After(chain[0].NotAfter)
	err := cred.Verify(gsi.VerifyOptions{Now: r.RecordedAt})
	if (err != nil) != expired {
		t.Errorf("verification: %v", err)
	}
	dir, err := gsi.OpenTrustDir(filepath.Join(r.dir, "trust"))
	must(t, err)
	if err := dir.Verify(chain, r.RecordedAt, gsi.TrustOptions{}); (err != nil) != expired {
		t.Errorf("against the trust anchors: %v", err)
	}
	other := &gsi.Credential{Chain: chain, Key: newKey(t)}
	if err := other.Verify(gsi.VerifyOptions{Now: r.RecordedAt}); err == nil {
		t.Error("the chain is good for a foreign key")
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return data
}

// newRSAKey is one key for all tests of the process: making one takes long.
var newRSAKey = func() func(testing.TB) crypto.Signer {
	var once sync.Once
	var key *rsa.PrivateKey
	return func(t testing.TB) crypto.Signer {
		t.Helper()
		var err error
		once.Do(func() { key, err = rsa.GenerateKey(rand.Reader, 2048) })
		must(t, err)
		return key
	}
}()
