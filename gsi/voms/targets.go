package voms

import (
	"encoding/asn1"
	"slices"
)

// maxTargets bounds the hosts of one attribute certificate.
const maxTargets = 256

// setTargets reads the hosts that the attributes are for (RFC 3281 section
// 4.3.2). That is a SEQUENCE OF SEQUENCE OF CHOICE { [0] GeneralName, ... };
// VOMS wraps each choice in one more SEQUENCE, and writes the host as a URI
// without scheme. Groups and certificates as targets match no host.
func (a *Attributes) setTargets(der []byte) error {
	var list asn1.RawValue
	if err := whole(der, &list); err != nil || !isUniversal(list, asn1.TagSequence) {
		return errMalformed
	}
	err := each(list, maxTargets, func(targets asn1.RawValue) error {
		return each(targets, maxTargets, func(v asn1.RawValue) error {
			if !isUniversal(v, asn1.TagSequence) {
				return a.addTarget(v)
			}
			return each(v, maxNames, a.addTarget)
		})
	})
	if err == nil && len(a.Targets) == 0 {
		a.odd(ReasonTarget, "the attribute certificate is for certain hosts but names none")
	}
	return err
}

func (a *Attributes) addTarget(v asn1.RawValue) error {
	var name asn1.RawValue
	if !isContext(v, 0) {
		return nil
	}
	if err := whole(v.Bytes, &name); err != nil {
		return err
	}
	if !isContext(name, tagURI) && !isContext(name, tagDNSName) {
		return nil
	}
	host := string(name.Bytes)
	if !isClean(host) || len(a.Targets) == maxTargets {
		return errMalformed
	}
	a.Targets = append(a.Targets, host)
	return nil
}

// isFor reports whether host is among the targets, byte for byte as with
// libvomsapi.
func (a *Attributes) isFor(host string) bool {
	return len(a.Targets) == 0 || slices.Contains(a.Targets, host)
}
