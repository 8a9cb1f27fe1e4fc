package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/backends/rcauth"
	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// trusted is what trust speaks of: a directory, and the CAs in it that matter.
type trusted struct {
	dir     string
	anchors []gsi.Anchor
	needed  bool   // they are those that should be there, and need not be
	advice  string // for people, below what is wrong
}

// trustedBy reads the directory of a profile, as the profile says that it is to
// be read. Of RCauth those CAs matter that its proxies come from.
func (p *process) trustedBy(profile string, now time.Time) (*trusted, error) {
	h := p.newHelper("trust")
	if err := h.Config.Err(); err != nil {
		return nil, err
	}
	c, err := h.Config.Profile(profile)
	if err != nil {
		return nil, err
	}
	t := &trusted{}
	t.dir, t.anchors, err = p.anchors(c.CADir, now, c.Trust)
	if err != nil && c.Backend != rcauth.Name {
		return nil, err
	}
	if err != nil { // where nothing is installed these two are what to begin with
		p.note("note: %s", clean(err.Error()))
		t.dir = cmp.Or(c.CADir, "/etc/grid-security/certificates")
	}
	if c.Backend == rcauth.Name {
		t.anchors, t.needed = rcauthAnchors(t.dir, t.anchors), true
		t.advice = rcauthAdvice(t.anchors)
	}
	return t, nil
}

// rcauthAnchors are the CAs of RCauth among those of a directory; one that is
// not there stands for itself.
func rcauthAnchors(dir string, all []gsi.Anchor) []gsi.Anchor {
	var list []gsi.Anchor
	for _, want := range rcauth.Anchors() {
		i := slices.IndexFunc(all, func(a gsi.Anchor) bool { return a.Hash == want.Hash })
		if i >= 0 {
			list = append(list, all[i])
			continue
		}
		file := filepath.Join(dir, want.Hash+".0")
		list = append(list, gsi.Anchor{
			Alias: want.Name, Hash: want.Hash, File: file, Severity: gsi.SeverityError,
			Problems: []gsi.AnchorProblem{{
				Severity: gsi.SeverityError, Reason: gsi.TrustUnknownIssuer, File: file, Detail: "the CA is not installed",
			}},
		})
	}
	return list
}

// rcauthAdvice says where the CAs come from that are not good here.
func rcauthAdvice(anchors []gsi.Anchor) string {
	var b strings.Builder
	for i, want := range rcauth.Anchors() {
		if anchors[i].Severity == gsi.SeverityOK {
			continue
		}
		if b.Len() == 0 {
			b.WriteString("\nA portal sends no CA along. Those of RCauth need these, here and on the storage:\n")
		}
		fmt.Fprintf(&b, "\n  %s, the %s, hash %s\n    Debian, Ubuntu          apt-get install %s\n    EGI trust anchors       dnf install ca_%s\n",
			want.Name, want.Role, want.Hash, want.Debian, want.Name)
		if slices.ContainsFunc(anchors[i].Problems, func(p gsi.AnchorProblem) bool { return p.Reason == gsi.TrustExpired }) {
			b.WriteString("    if that is as old       https://dl.igtf.org/distribution/igtf/current/\n")
		}
	}
	return b.String()
}

// trustError is a directory that cannot be looked into.
func trustError(err error) *helper.Error {
	e := helper.AsError(err)
	if e.Code == helper.CodeInternal {
		e = helper.Errorf(helper.CodeNotFound, "%s", clean(err.Error()))
	}
	return e
}
