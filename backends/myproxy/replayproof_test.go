package myproxy

import (
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"slices"
	"strings"
)

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
