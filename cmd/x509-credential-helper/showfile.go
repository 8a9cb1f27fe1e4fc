package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// maxProxyFile is the largest file that is read; real ones have 5 to 12 kB.
const maxProxyFile = gsi.MaxCredentialBytes

// proxyFile is the file of a proxy as the file system has it.
type proxyFile struct {
	path    string // "-" for standard input
	stdin   bool
	regular bool
	mode    fs.FileMode
	uid     int // of the owner, -1 where nobody knows
	ours    bool
}

// proxyPath is the file that grid tools use: measured with voms-proxy-info,
// grid-proxy-info and XRootD, which take an empty X509_USER_PROXY for a path.
func (p *process) proxyPath(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	if path, ok := p.lookupEnv("X509_USER_PROXY"); ok {
		if path == "" {
			return "", helper.Errorf(helper.CodeNotFound, "X509_USER_PROXY is set but empty, so grid tools find no proxy").
				WithHint("unset it, or name a file")
		}
		return path, nil
	}
	if uid := os.Getuid(); uid >= 0 {
		return "/tmp/x509up_u" + strconv.Itoa(uid), nil
	}
	return "", helper.Errorf(helper.CodeNotFound, "no file was named and X509_USER_PROXY is not set")
}

// lookupEnv tells an empty variable from none.
func (p *process) lookupEnv(name string) (string, bool) {
	for _, kv := range p.environ {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

// readProxy reads the named file, or the default one.
func (p *process) readProxy(ctx context.Context, named string, now time.Time) (*shownProxy, error) {
	path, err := p.proxyPath(named)
	if err != nil {
		return nil, err
	}
	file, data, err := p.readProxyFile(ctx, path)
	switch {
	case ctx.Err() != nil:
		return nil, helper.Errorf(helper.CodeCancelled, "cancelled")
	case err != nil:
		e := helper.Errorf(helper.CodeNotFound, "%s", whyUnread(path, err))
		if named == "" && errors.Is(err, fs.ErrNotExist) {
			e = e.WithHint("name a file; for the proxies that the helper keeps run: %s status", name)
		}
		return nil, e
	}
	defer clear(data) // there may be a key in it
	proxy, err := parseProxy(file, data, now)
	if err != nil {
		return nil, notPEM(path, data, err)
	}
	return proxy, nil
}

// notPEM says what a file is that has no certificate in PEM, and what makes one
// of it.
func notPEM(path string, data []byte, err error) error {
	if len(data) == 0 {
		return helper.Errorf(helper.CodeInvalidCredential, "%s is empty", clean(path))
	}
	e := helper.Errorf(helper.CodeInvalidCredential, "%s cannot be shown: %w", clean(path), err)
	const sequence = 0x30 // both begin with it
	switch _, der := x509.ParseCertificate(data); {
	case path == "-" || data[0] != sequence:
		return e
	case der == nil:
		return e.WithHint("it is DER, not PEM; run: openssl x509 -inform DER -in %[1]s -out %[1]s.pem", shellWord(path))
	}
	return e.WithHint("if it is PKCS#12 run: openssl pkcs12 -in %[1]s -out %[1]s.pem", shellWord(path))
}

func whyUnread(path string, err error) string {
	cause := err
	var pe *fs.PathError
	if errors.As(err, &pe) {
		cause = pe.Err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "there is no proxy: " + clean(path) + " does not exist"
	}
	return clean(path) + " cannot be read: " + cause.Error()
}

// readProxyFile opens once and then looks at what it has opened. O_NONBLOCK
// keeps a FIFO that nobody writes to from blocking the open for ever; one that
// somebody writes to, as a shell's <(...), is read.
func (p *process) readProxyFile(ctx context.Context, path string) (*proxyFile, []byte, error) {
	f := p.stdin
	if path != "-" {
		var err error
		if f, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0); err != nil {
			return nil, nil, err
		}
		defer f.Close()
	}
	st, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if st.IsDir() {
		return nil, nil, errors.New("it is a directory")
	}
	data, err := readAll(ctx, f)
	if err != nil {
		return nil, nil, err
	}
	if len(data) > maxProxyFile {
		return nil, nil, fmt.Errorf("it is larger than %d bytes", maxProxyFile)
	}
	file := &proxyFile{path: path, stdin: path == "-", regular: st.Mode().IsRegular(), mode: st.Mode().Perm(), uid: ownerOf(st)}
	file.ours = file.uid == -1 || file.uid == os.Geteuid()
	return file, data, nil
}

// readAll reads to the end, or a byte more than maxProxyFile. A signal ends it:
// who writes to a pipe or types may take for ever.
func readAll(ctx context.Context, f *os.File) ([]byte, error) {
	var data []byte
	done := safego.Go(func() (err error) {
		data, err = io.ReadAll(io.LimitReader(f, maxProxyFile+1))
		return err
	})
	select {
	case err := <-done:
		return data, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// remarks are what is unusual about a file with a private key in it. By the
// measured table: XRootD over TLS and grid-proxy-info want nobody but the owner
// to have any right, and no tool reads the key of another user's file.
func (f *proxyFile) remarks(hasKey bool) (out []remark) {
	if f.stdin || !hasKey {
		return nil
	}
	if !f.regular {
		return []remark{{"not_a_file", "it is no regular file: XRootD, gfal2 and curl want one"}}
	}
	if f.uid != -1 && f.mode&0o077 != 0 {
		out = append(out, remark{"mode", fmt.Sprintf(
			"the file has mode %04o: XRootD over TLS and Globus refuse a proxy that anybody but its owner may read; run: chmod 600 %s", f.mode, shellWord(f.path))})
	}
	if !f.ours {
		out = append(out, remark{"owner", fmt.Sprintf("the file belongs to user %d, not to you: Globus refuses it", f.uid)})
	}
	return out
}

// shellWord writes a path so that it can be pasted into a shell.
func shellWord(path string) string {
	odd := func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@%,", r)
	}
	path = clean(path)
	if strings.IndexFunc(path, odd) < 0 {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// keyState is what there is of a private key: "none", "encrypted" or "plain".
func keyState(data []byte) string {
	switch {
	case !bytes.Contains(data, []byte("PRIVATE KEY-----")):
		return "none"
	case bytes.Contains(data, []byte("BEGIN ENCRYPTED PRIVATE KEY")), bytes.Contains(data, []byte("ENCRYPTED\n")), bytes.Contains(data, []byte("ENCRYPTED\r\n")):
		return "encrypted"
	}
	return "plain"
}

// beginsWith says whether the first certificate of a file is that one. Tools
// other than XRootD's plain GSI fail on a file that begins with another
// (measured: gfal2 2.21, curl, xrootd 5.5.3 with TLS).
func beginsWith(data, der []byte) bool {
	for {
		var b *pem.Block
		if b, data = pem.Decode(bytes.TrimPrefix(data, []byte("\ufeff"))); b == nil {
			return true
		}
		if strings.HasSuffix(b.Type, "CERTIFICATE") {
			return bytes.Equal(b.Bytes, der)
		}
		clear(b.Bytes)
	}
}
