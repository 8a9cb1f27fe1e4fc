package rcauth

// Anchor is a CA that has to be installed wherever proxies of RCauth are to be
// taken: a portal sends none of them with a proxy (measured), so storage without
// the issuing CA refuses, whatever else it trusts.
type Anchor struct {
	Name   string // of the file and of the package ca_NAME of EGI and IGTF
	Hash   string // of the subject, in OpenSSL's form: HASH.0
	Role   string // for people
	Debian string // the package that has it
}

// Anchors are the two of the RCauth online CA, the issuing one first. Portals
// in front of another CA have others.
func Anchors() []Anchor {
	return []Anchor{
		{Name: "RCauth-Pilot-ICA-G1", Hash: "5f40742a", Role: "issuing CA", Debian: "igtf-policy-iota"},
		{Name: "DCAROOT-G1", Hash: "87250dfa", Role: "root", Debian: "igtf-policy-classic"},
	}
}
