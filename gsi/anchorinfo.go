package gsi

import (
	"errors"
	"fmt"
	"strings"
)

// AnchorInfo is an .info file of the IGTF's distribution: what people and
// fetch-crl want to know about a CA. Nothing in it decides about trust.
type AnchorInfo struct {
	Alias      string   // e.g. "CERN-GridCA"; the file's name without .info
	Status     string   // e.g. "accredited:classic", "discontinued"
	Version    string   // of the distribution
	URL        string   // of the CA, for people
	CAURL      string   // of its certificate
	PolicyURL  string   // of its policy and practice statement
	CRLURLs    []string // of its revocation list, in the order in which to try them
	Email      string
	SHA1       []string // fingerprints, colons between bytes, as written; sha1fp.0 first
	SubjectDNs []string // one-line form, as written; several in a profile's file
	Requires   []string // other files, e.g. "DCAROOT-G1" or "NIKHEF = 1.133"
	Obsoletes  []string
}

// maxInfoItems bounds the lists of one file; the longest of the IGTF's names
// 110 CAs that are gone.
const maxInfoItems = 5000

// ParseAnchorInfo reads an .info file: lines "key = value", a backslash at the
// end of a line goes on with the next, '#' at its beginning makes it a comment.
// Keys that are not known are passed over.
func ParseAnchorInfo(data []byte) (*AnchorInfo, error) {
	if len(data) > maxTrustFile {
		return nil, fmt.Errorf("larger than %d bytes", maxTrustFile)
	}
	info := &AnchorInfo{}
	items := 0
	for text := string(data); text != ""; {
		var line string
		if line, text = infoLine(text); line == "" {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, fmt.Errorf("%.40q is not a key, '=' and a value", line)
		}
		n, err := info.set(strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value))
		if err != nil {
			return nil, fmt.Errorf("%.40q: %w", strings.TrimSpace(key), err)
		}
		if items += n; items > maxInfoItems {
			return nil, errors.New("it is too long")
		}
	}
	if info.Alias == "" && len(info.SubjectDNs) == 0 {
		return nil, errors.New("it names no CA: expected alias or subjectdn")
	}
	return info, nil
}

// infoLine takes one line with its continuations; "" for an empty line and a
// comment.
func infoLine(text string) (line, rest string) {
	line, rest, _ = strings.Cut(text, "\n")
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "#") || !strings.HasSuffix(line, `\`) {
		if strings.HasPrefix(line, "#") {
			line = ""
		}
		return line, rest
	}
	var b strings.Builder
	for {
		head, more := strings.CutSuffix(line, `\`)
		b.WriteString(head)
		if !more {
			return strings.TrimSpace(b.String()), rest
		}
		b.WriteByte(' ')
		line, rest, _ = strings.Cut(rest, "\n")
		line = strings.TrimSpace(line)
	}
}

// set stores a value and says how many items a list had.
func (a *AnchorInfo) set(key, value string) (items int, err error) {
	if text := a.text(key); text != nil {
		if *text != "" {
			return 0, errors.New("it stands there twice")
		}
		*text = value
		return 0, nil
	}
	list, separators := a.list(key)
	if list == nil {
		return 0, nil
	}
	found, err := splitInfo(value, separators)
	*list = append(*list, found...)
	return len(found), err
}

// text is the field of a key with one value.
func (a *AnchorInfo) text(key string) *string {
	switch key {
	case "alias":
		return &a.Alias
	case "status":
		return &a.Status
	case "version":
		return &a.Version
	case "url":
		return &a.URL
	case "ca_url":
		return &a.CAURL
	case "policy_url":
		return &a.PolicyURL
	case "email":
		return &a.Email
	}
	return nil
}

// list is the field of a key with several values, which may be numbered:
// sha1fp.0, crl_url.1.
func (a *AnchorInfo) list(key string) (list *[]string, separators string) {
	name, _, _ := strings.Cut(key, ".")
	switch name {
	case "crl_url":
		return &a.CRLURLs, "; \t"
	case "sha1fp":
		return &a.SHA1, ","
	case "subjectdn":
		return &a.SubjectDNs, ","
	case "requires":
		return &a.Requires, ","
	case "obsoletes":
		return &a.Obsoletes, ","
	}
	return nil, ""
}

// splitInfo cuts a list; items may stand in double quotes, with separators in
// them.
func splitInfo(value, separators string) ([]string, error) {
	var out []string
	add := func(item string) {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	for {
		value = strings.TrimLeft(value, " \t"+separators)
		if value == "" {
			return out, nil
		}
		if len(out) > maxInfoItems {
			return nil, errors.New("it is too long")
		}
		if value[0] == '"' {
			item, rest, ok := strings.Cut(value[1:], `"`)
			if !ok {
				return nil, errors.New("a quote is not closed")
			}
			add(item)
			value = rest
			continue
		}
		end := strings.IndexAny(value, separators)
		if end < 0 {
			end = len(value)
		}
		add(value[:end])
		value = value[end:]
	}
}
