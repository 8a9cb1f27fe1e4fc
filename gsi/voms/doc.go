// Package voms reads, compares and makes VOMS attribute certificates: the
// statements of a virtual organisation's server about its members, which lie
// as a non-critical extension in a proxy certificate.
//
// Parse tells what an extension claims. It does not verify the attribute
// authority's signature: whoever holds a proxy cannot profit from forging one,
// because every server verifies it with keys of its own, and the holder often
// has none of the authorities' certificates. HeldBy tells whether a statement
// is about a given certificate.
//
//	attrs, err := voms.Parse(proxy)
//	if err != nil {
//		return err
//	}
//	want, err := voms.ParseRequest("atlas:/atlas/Role=production")
//	if err != nil {
//		return err
//	}
//	return voms.Satisfies(attrs, []voms.Request{want})
package voms
