package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// showAnswer is docs/schema/show.json. Times are of RFC 3339 in UTC, expires_in
// is in seconds and below 0 for what is over.
type showAnswer struct {
	Version  int           `json:"version"`
	File     jsonFile      `json:"file"`
	Valid    bool          `json:"valid"` // the exit status would be 0
	State    string        `json:"state"` // of certificates and attributes together
	Identity string        `json:"identity,omitempty"`
	RFC2253  string        `json:"identity_rfc2253,omitempty"`
	Subject  string        `json:"subject"`
	Issuer   string        `json:"issuer"`
	Type     string        `json:"type,omitempty"`
	TypeText string        `json:"type_text,omitempty"`
	Rights   string        `json:"rights,omitempty"`
	Limited  bool          `json:"limited"`
	PathLen  *int          `json:"path_length,omitempty"`
	Depth    int           `json:"depth"`
	Key      jsonKey       `json:"key"`
	Print    string        `json:"fingerprint,omitempty"`
	Ends     jsonEnd       `json:"ends_first"`
	Chain    []jsonCert    `json:"chain"`
	VOMS     []jsonAC      `json:"voms"`
	Problems []jsonProblem `json:"problems"`
	Warnings []jsonRemark  `json:"warnings"`
	Verified *bool         `json:"verified,omitempty"` // with --verify
	jsonTimes
	jsonChainTimes
}

type jsonTimes struct {
	NotBefore string `json:"not_before"`
	NotAfter  string `json:"not_after"`
	ExpiresIn int64  `json:"expires_in"`
}

// jsonChainTimes is the time of the certificates alone.
type jsonChainTimes struct {
	ChainNotBefore string `json:"chain_not_before"`
	ChainNotAfter  string `json:"chain_not_after"`
	ChainExpiresIn int64  `json:"chain_expires_in"`
}

type jsonFile struct {
	Path  string `json:"path"`
	Mode  string `json:"mode,omitempty"`
	Owner *int   `json:"uid,omitempty"`
}

type jsonKey struct {
	Algorithm string `json:"algorithm"`
	Bits      int    `json:"bits"`
	State     string `json:"state"`
}

type jsonEnd struct {
	What  string `json:"what"`
	Depth int    `json:"depth"`
	VO    string `json:"vo,omitempty"`
}

type jsonCert struct {
	Role      string   `json:"role"`
	Subject   string   `json:"subject"`
	Issuer    string   `json:"issuer"`
	Serial    string   `json:"serial"`
	Algorithm string   `json:"key_algorithm"`
	Bits      int      `json:"key_bits"`
	Signature string   `json:"signature_algorithm"`
	KeyUsage  []string `json:"key_usage"`
	jsonTimes
}

type jsonAC struct {
	VO      string        `json:"vo"`
	FQANs   []string      `json:"fqans"`
	Generic []jsonGeneric `json:"generic"`
	Targets []string      `json:"targets"`
	URI     string        `json:"uri,omitempty"`
	Issuer  string        `json:"issuer"`
	Serial  string        `json:"serial"`
	Depth   int           `json:"depth"`
	Used    bool          `json:"used"`
	State   string        `json:"state"`
	jsonTimes
}

type jsonGeneric struct {
	Name      string `json:"name"`
	Value     string `json:"value"`
	Qualifier string `json:"qualifier,omitempty"`
}

type jsonProblem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Depth   *int   `json:"depth,omitempty"`
	File    string `json:"file,omitempty"`
}

type jsonRemark struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (s *shownProxy) times(notBefore, notAfter time.Time) jsonTimes {
	return jsonTimes{stamp(notBefore), stamp(notAfter), s.left(notAfter)}
}

// stamp is a time as the protocol writes it.
func stamp(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

// json is everything as one object.
func (s *shownProxy) json(verified bool) *showAnswer {
	algorithm, bits := keyOf(s.chain[0])
	answer := &showAnswer{
		Version: helper.Version, File: s.file.json(), Valid: s.good(), State: s.state(s.begins, s.ends.notAfter),
		Subject: oneLine(s.chain[0].RawSubject), Issuer: oneLine(s.chain[0].RawIssuer),
		Key:  jsonKey{algorithm, bits, s.key},
		Ends: jsonEnd{s.ends.what, s.ends.depth, s.ends.vo}, jsonTimes: s.times(s.begins, s.ends.notAfter),
		jsonChainTimes: jsonChainTimes{stamp(s.notBefore), stamp(s.notAfter), s.left(s.notAfter)},
		Chain:          []jsonCert{}, VOMS: []jsonAC{}, Problems: []jsonProblem{}, Warnings: []jsonRemark{},
	}
	answer.setInfo(s.info)
	for depth := range s.chain {
		answer.Chain = append(answer.Chain, s.jsonCert(depth))
	}
	for _, a := range s.acs {
		answer.VOMS = append(answer.VOMS, s.jsonAC(a))
	}
	for _, p := range s.problems {
		j := jsonProblem{Code: p.code, Message: p.text(), File: p.file}
		if p.depth >= 0 {
			j.Depth = &p.depth
		}
		answer.Problems = append(answer.Problems, j)
	}
	for _, r := range s.remarks {
		answer.Warnings = append(answer.Warnings, jsonRemark{r.code, r.message})
	}
	if verified {
		ok := len(s.problems) == 0
		answer.Verified = &ok
		answer.Valid = answer.Valid && ok
	}
	return answer
}

func (a *showAnswer) setInfo(info *gsi.Info) {
	if info == nil {
		return
	}
	a.Identity, a.RFC2253 = info.Identity, info.IdentityRFC2253
	a.Type, a.TypeText, a.Rights = string(info.Type), info.TypeText(), string(info.Rights)
	a.Limited, a.Depth, a.Print = info.Limited, info.Depth, info.Fingerprint
	if info.PathLen >= 0 {
		a.PathLen = &info.PathLen
	}
}

func (f *proxyFile) json() jsonFile {
	if f.stdin || f.uid == -1 {
		return jsonFile{Path: clean(f.path)}
	}
	return jsonFile{clean(f.path), fmt.Sprintf("%04o", f.mode), &f.uid}
}

func (s *shownProxy) jsonCert(depth int) jsonCert {
	c := s.chain[depth]
	algorithm, bits := keyOf(c)
	j := jsonCert{
		Role: s.role(depth), Subject: oneLine(c.RawSubject), Issuer: oneLine(c.RawIssuer), Serial: serialText(c.SerialNumber),
		Algorithm: algorithm, Bits: bits, Signature: c.SignatureAlgorithm.String(),
		KeyUsage: []string{}, jsonTimes: s.times(c.NotBefore, c.NotAfter),
	}
	if usages := keyUsages(c); usages != "" {
		j.KeyUsage = strings.Split(usages, ", ")
	}
	return j
}

// role is roleOf for programs.
func (s *shownProxy) role(depth int) string {
	switch {
	case s.info == nil:
		return "unknown"
	case depth < s.info.Depth:
		return "proxy"
	case depth == s.info.Depth:
		return "end_entity"
	}
	return "ca"
}

func (s *shownProxy) jsonAC(a shownAC) jsonAC {
	j := jsonAC{
		VO: a.VO, FQANs: append([]string{}, a.FQANs...), Generic: []jsonGeneric{}, Targets: append([]string{}, a.Targets...),
		URI: a.URI(), Issuer: a.Issuer, Serial: serialText(a.Serial), Depth: a.depth, Used: !a.hidden,
		State: s.state(a.NotBefore, a.NotAfter), jsonTimes: s.times(a.NotBefore, a.NotAfter),
	}
	for _, g := range a.Generic {
		j.Generic = append(j.Generic, jsonGeneric(g))
	}
	return j
}

// writeJSON writes one object and a newline.
func writeJSON(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}
