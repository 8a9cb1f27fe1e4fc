package gsi

// Examine returns every fault of a credential, those of all checks and all
// certificates, in the order in which Verify would find them; none for a good
// one. Of two faults of one kind in one certificate it returns the first. A
// proxy that ends after its issuer is always among them, RefuseOutliving or
// not. A nil Key is not judged, so a chain alone can be examined.
//
// It is for telling people what is wrong. Whether a credential is good is for
// Verify to say, and for TrustDir.Verify.
func Examine(cred *Credential, opts VerifyOptions) []*ChainError {
	if cred == nil {
		cred = new(Credential)
	}
	opts.RefuseOutliving = true
	v := verifier{chain: cred.Chain, opts: opts}
	if cred.Key != nil && !cred.isOurKey() {
		v.add(FaultWrongKey, 0, wrongKeyText)
	}
	s := survey(cred.Chain)
	v.found = append(v.found, s.faults...)
	if s.unusable {
		return v.found
	}
	v.proxies = s.proxies
	checks := v.checks()
	if s.disorder {
		// Nobody can say what is a proxy, a user or a CA.
		checks = []func(int){v.checkStrength, v.checkLink, v.checkValidity}
	}
	for _, check := range checks {
		for depth := range cred.Chain {
			check(depth)
		}
	}
	return v.found
}
