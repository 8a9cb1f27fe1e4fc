package gsi

// TypeText is the type in the words of grid-proxy-info, which scripts look
// for: "RFC 3820 compliant limited proxy" and the like, "end entity credential"
// for an end-entity certificate. It goes by the rights over the whole chain;
// grid-proxy-info looks at the leaf alone, and voms-proxy-info says "RFC
// compliant proxy" of limited ones, too.
func (i *Info) TypeText() string {
	kind := map[Rights]string{
		RightsInheritAll:  "impersonation",
		RightsLimited:     "limited",
		RightsIndependent: "independent",
		RightsOther:       "restricted",
	}[i.Rights]
	switch i.Type {
	case TypeRFC3820:
		return "RFC 3820 compliant " + kind + " proxy"
	case TypeDraft:
		return "Proxy draft (pre-RFC) compliant " + kind + " proxy"
	case TypeLegacy:
		if i.Rights == RightsLimited {
			return "limited legacy globus proxy"
		}
		return "full legacy globus proxy"
	}
	return "end entity credential"
}
