package myproxy

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
)

// rootsParser collects the lines with trust roots of a response:
// TRUSTED_CERTS=name,name,… and for each one FILEDATA_name=base64, on one line.
type rootsParser struct {
	names []string
	data  map[string][]byte // base64
}

// line takes one line, if it is about trust roots.
func (p *rootsParser) line(key string, value []byte) error {
	if key == "TRUSTED_CERTS" {
		return p.list(value)
	}
	name, ok := bytes.CutPrefix([]byte(key), []byte("FILEDATA_"))
	if !ok {
		return nil
	}
	if p.data == nil {
		p.data = make(map[string][]byte)
	}
	if _, twice := p.data[string(name)]; twice {
		return &ProtocolError{Reason: fmt.Sprintf("sent the trust root %s twice", quoteName(string(name)))}
	}
	if len(p.data) == maxTrustFiles {
		return tooManyRoots()
	}
	p.data[string(name)] = value
	return nil
}

func tooManyRoots() error {
	return &ProtocolError{Reason: fmt.Sprintf("sent more than %d trust roots", maxTrustFiles)}
}

// list takes the names.
func (p *rootsParser) list(value []byte) error {
	if p.names != nil {
		return &ProtocolError{Reason: "sent two lists of trust roots"}
	}
	p.names = []string{}
	for name := range bytes.SplitSeq(value, []byte(",")) {
		if len(name) == 0 {
			continue
		}
		if len(p.names) == maxTrustFiles {
			return tooManyRoots()
		}
		if !isFileName(string(name)) {
			return &ProtocolError{Reason: fmt.Sprintf("sent a trust root whose name %s could lead out of the directory", quoteName(string(name)))}
		}
		p.names = append(p.names, string(name))
	}
	return nil
}

// files decodes what came; nil where no list did.
func (p *rootsParser) files() (map[string][]byte, error) {
	if p.names == nil {
		return nil, nil
	}
	files := make(map[string][]byte, len(p.names))
	for _, name := range p.names {
		text, ok := p.data[name]
		if !ok {
			return nil, &ProtocolError{Reason: fmt.Sprintf("announced the trust root %s and did not send it", quoteName(name))}
		}
		data := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
		n, err := base64.StdEncoding.Decode(data, text)
		if err != nil {
			return nil, &ProtocolError{Reason: fmt.Sprintf("sent the trust root %s in a form that is no base64", quoteName(name)), Err: err}
		}
		files[name] = data[:n]
	}
	return files, nil
}

// maxFileName is what file systems take.
const maxFileName = 255

// isFileName says whether a name stays in the directory that it is joined with,
// on every system. Which of those names are trust roots is for
// InstallTrustRoots to say: servers send every file of their directory, hidden
// ones too (measured: Debian myproxy-server 6.2.14).
func isFileName(name string) bool {
	if name == "." || name == ".." || len(name) > maxFileName {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return r < ' ' || r == 0x7f || r == '/' || r == '\\'
	})
}

// quoteName shows a name that a server chose.
func quoteName(name string) string {
	if len(name) > 64 {
		name = name[:64] + "…"
	}
	return fmt.Sprintf("%+q", name)
}
