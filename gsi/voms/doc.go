// Package voms reads, verifies, compares and makes VOMS attribute
// certificates (RFC 3281): the statements of a virtual organisation's server
// about its members, which lie as a non-critical extension in a proxy
// certificate.
//
// Parse tells what an extension claims, whoever wrote it. Satisfies compares
// that with what was asked for, HeldBy with a certificate.
//
// Verify tells whether to believe it: that the signature is that of the server
// which a vomsdir names for the VO, that a trusted CA vouches for that server,
// and that the attributes are for this holder, this host and this time. It has
// a Reason for every rule and is meant to refuse whatever libvomsapi 2.1 refuses,
// and more: its tests list where and why. Of a chain only the certificate nearest
// to the leaf that has attributes counts, for servers look at no other. Programs that have a trust directory
// use gsi's TrustDir.VerifyVOMS.
//
// A client often has none of the servers' names and need not verify:
// whoever holds a proxy cannot profit from forging its attributes, because
// every relying party verifies them with names of its own.
//
//	attrs, err := voms.Parse(proxy)
//	if err != nil {
//		return err
//	}
//	want, err := voms.ParseRequest("atlas:/atlas/Role=production")
//	if err != nil {
//		return err
//	}
//	dir, err := voms.OpenDir("/etc/grid-security/vomsdir")
//	if err != nil {
//		return err
//	}
//	for i := range attrs { // each is signed by itself
//		if err := voms.Verify(&attrs[i], voms.VerifyOptions{Now: now, Holder: user, Dir: dir, Trust: trust}); err != nil {
//			return err
//		}
//	}
//	return voms.Satisfies(attrs, []voms.Request{want})
package voms
