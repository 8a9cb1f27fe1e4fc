package myproxy

import (
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"slices"
	"strconv"
	"strings"
)

// ours says whether this client writes requests of such lines. What it never
// writes is sent as it was recorded.
func (f fields) ours() bool {
	lines, lifetime := []string{"CRED_NAME"}, "0"
	switch command(f.get("COMMAND")) {
	case commandGet:
		lines, lifetime = append(lines, "TRUSTED_CERTS", "VONAME", "VOMSES"), ""
	case commandPut:
		lines, lifetime = append(lines, "CRED_DESC", "RETRIEVER", "RENEWER", "RETRIEVER_TRUSTED"), ""
	case commandStore:
		lines, lifetime = append(lines, "CRED_DESC", "RETRIEVER", "RENEWER", "RETRIEVER_TRUSTED", "KEYRETRIEVERS"), ""
	case commandInfo:
		lines = nil
	case commandDestroy:
	case commandChange:
		lines = append(lines, "NEW_PHRASE")
	case commandRetrieve:
		lines, lifetime = append(lines, "TRUSTED_CERTS"), "43200"
	case commandTrustRoots:
		lines = []string{"TRUSTED_CERTS"}
		if f.get("TRUSTED_CERTS") != "1" {
			return false
		}
	default:
		return false
	}
	for line := range f {
		if !slices.Contains([]string{"VERSION", "COMMAND", "USERNAME", "PASSPHRASE", "LIFETIME"}, line) && !slices.Contains(lines, line) {
			return false
		}
	}
	n, err := strconv.ParseUint(f.get("LIFETIME"), 10, 31)
	return err == nil && (f.get("LIFETIME") == lifetime || lifetime == "" && n > 0)
}

// hasty says that the recorded client did not wait for the answer to its
// request.
func (r *recording) hasty() bool {
	for i := 1; i < len(r.Messages); i++ {
		if m := &r.Messages[i-1]; m.From == "client" && m.Text != nil && *m.Text != "0" && r.Messages[i].From == "client" {
			return true
		}
	}
	return false
}

func sortedBlocks(text []byte) []string {
	var all []string
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		all = append(all, string(pem.EncodeToMemory(block)))
	}
	slices.Sort(all)
	return all
}

// proves says whether a proof is good for one of the recorded challenges.
func (r *recording) proves(proof []byte) bool {
	if len(proof) < proofHeader {
		return false
	}
	prefix := map[byte]string{proofSHA256: challengeSHA256, proofSHA1: challengeSHA1}[proof[0]]
	algorithms := map[byte][]x509.SignatureAlgorithm{
		proofSHA256: {x509.SHA256WithRSA, x509.ECDSAWithSHA256}, proofSHA1: {x509.SHA1WithRSA, x509.ECDSAWithSHA1},
	}[proof[0]]
	size := int(binary.BigEndian.Uint32(proof[4:]))
	if prefix == "" || size > len(proof)-proofHeader {
		return false
	}
	leaf := *r.renew.Leaf()
	for i := range r.Messages {
		m := &r.Messages[i]
		if m.Text == nil {
			continue
		}
		for line := range strings.SplitSeq(*m.Text, "\n") {
			text, ok := strings.CutPrefix(line, "AUTHORIZATION_DATA="+prefix)
			if ok && slices.ContainsFunc(algorithms, func(a x509.SignatureAlgorithm) bool {
				return leaf.CheckSignature(a, []byte(text), proof[proofHeader:proofHeader+size]) == nil
			}) {
				return true
			}
		}
	}
	return false
}

func sortedLines(text []byte) []string {
	lines := strings.Split(string(text), "\n")
	slices.Sort(lines)
	return lines
}
