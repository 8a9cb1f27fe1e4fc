package helper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

const (
	// MaxRequest is the largest request that is read, in bytes.
	MaxRequest = 1 << 20
	// readTimeout bounds the wait for a complete object: callers forget to
	// close stdin, and some never write.
	readTimeout = 10 * time.Second
	// maxDepth bounds the nesting of a request. None needs more than three.
	maxDepth = 32
)

// readObject reads the first JSON object from r and stops at its closing
// brace; what follows is neither read on purpose nor judged. Nothing but blanks
// before the end of r counts as {}.
//
// A reader that blocks keeps its goroutine until it returns: that of a
// process's standard input ends with the process.
func readObject(ctx context.Context, r io.Reader, timeout time.Duration) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	got := make(chan result, 1)
	failed := safego.Go(func() error {
		data, err := scanObject(r)
		got <- result{data, err}
		return nil
	})
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case res := <-got:
		return res.data, res.err
	case err := <-failed:
		if err != nil {
			return nil, err
		}
		res := <-got
		return res.data, res.err
	case <-timer.C:
		return nil, Errorf(CodeInvalidRequest, "no complete JSON object arrived on standard input within %s", timeout).
			WithHint("write one JSON object, for example: echo '{}' | x509-credential-helper get")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// scanObject reads until the braces of the first object are balanced. Whether
// what is between them is JSON is parseObject's business.
func scanObject(r io.Reader) ([]byte, error) {
	var (
		data  []byte
		scan  objectScanner
		chunk = make([]byte, 4096)
	)
	for {
		n, err := r.Read(chunk)
		for i, c := range chunk[:n] {
			done, bad := scan.step(c)
			if bad {
				return nil, Errorf(CodeInvalidRequest, "the request must be a JSON object: it begins with something else")
			}
			if len(data)+i+1 > MaxRequest {
				return nil, Errorf(CodeInvalidRequest, "the request is larger than %d bytes", MaxRequest)
			}
			if done {
				return append(data, chunk[:i+1]...), nil
			}
		}
		data = append(data, chunk[:n]...)
		if errors.Is(err, io.EOF) {
			if scan.depth == 0 {
				return []byte("{}"), nil
			}
			return nil, Errorf(CodeInvalidRequest, "the request ends in the middle of its JSON object")
		}
		if err != nil {
			return nil, Errorf(CodeInvalidRequest, "standard input cannot be read: %w", err)
		}
	}
}

// objectScanner follows braces and strings, nothing else.
type objectScanner struct {
	depth    int
	inString bool
	escaped  bool
}

// step takes one byte; done is the object's closing brace, bad a byte before
// the object that is no blank.
func (s *objectScanner) step(c byte) (done, bad bool) {
	switch {
	case s.escaped:
		s.escaped = false
	case s.inString:
		s.escaped = c == '\\'
		s.inString = c != '"'
	case s.depth == 0:
		if c == '{' {
			s.depth = 1
			return false, false
		}
		return false, !(c == ' ' || c == '\t' || c == '\n' || c == '\r')
	case c == '"':
		s.inString = true
	case c == '{' || c == '[':
		s.depth++
	case c == '}' || c == ']':
		s.depth--
		return s.depth == 0, false
	}
	return false, false
}

// parseObject splits a JSON object into its fields. Unlike encoding/json it
// refuses invalid UTF-8, which that replaces silently, and duplicate keys at
// any depth, of which that takes the last.
func parseObject(data []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(data) {
		return nil, Errorf(CodeInvalidRequest, "the request is not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := checkValue(dec, nil, 0); err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, notJSON(err)
	}
	if fields == nil {
		return nil, Errorf(CodeInvalidRequest, "the request must be a JSON object")
	}
	return fields, nil
}

// checkValue walks one value and refuses duplicate keys and deep nesting. The
// path is put together only where it is told: it can be half the request.
func checkValue(dec *json.Decoder, path []string, depth int) error {
	if depth > maxDepth {
		return Errorf(CodeInvalidRequest, "the request is nested deeper than %d levels", maxDepth)
	}
	tok, err := dec.Token()
	if err != nil {
		return notJSON(err)
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for dec.More() {
		inner := path
		if delim == '{' {
			key, err := dec.Token()
			if err != nil {
				return notJSON(err)
			}
			name := key.(string)
			inner = append(path, name)
			if seen[name] {
				return Errorf(CodeInvalidRequest, "field %s is given twice", quoteName(strings.Join(inner, ".")))
			}
			seen[name] = true
		}
		if err := checkValue(dec, inner, depth+1); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil { // the closing delimiter
		return notJSON(err)
	}
	return nil
}

func notJSON(err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return Errorf(CodeInvalidRequest, "the request is not valid JSON at byte %d", syntax.Offset)
	}
	return Errorf(CodeInvalidRequest, "the request is not valid JSON")
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
