package consumer

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// Plan says which profiles' proxies a command needs.
type Plan struct {
	Profile string         // whose proxy X509_USER_PROXY names; "": no URL has a profile
	InURL   map[int]string // with two profiles: those of the URLs at these positions
}

// Profiles lists the profiles of the plan, the main one first. It is empty where
// no URL has one.
func (p *Plan) Profiles() []string {
	if p.Profile == "" {
		return nil
	}
	list := []string{p.Profile}
	for _, name := range slices.Sorted(maps.Values(p.InURL)) {
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// TwoProfilesError is a command that would need two proxies and can have one.
type TwoProfilesError struct {
	Tool     string
	Profiles [2]string
}

// Error says why not.
func (e *TwoProfilesError) Error() string {
	return fmt.Sprintf("the URLs need two profiles, %q and %q, but %s can use only one proxy", e.Profiles[0], e.Profiles[1], e.Tool)
}

// wanted is a URL and the profile that is for it, or "".
type wanted struct {
	located
	profile string
}

// NewPlan looks for the profile of each URL of a command. match returns the name
// of a profile, or "" for a URL that none is for: such a URL has to do with the
// others' proxy. Where URLs need two profiles, those of XRootD name their own
// proxy if the tool allows it; all others share X509_USER_PROXY.
func NewPlan(argv []string, match func(url string) (string, error)) (*Plan, error) {
	var list []wanted
	for _, u := range locate(argv) {
		profile, err := match(u.text)
		if err != nil {
			return nil, err
		}
		list = append(list, wanted{u, profile})
	}
	p := &Plan{InURL: map[int]string{}}
	can := func(w wanted) bool { return toolNamed(argv[0]).inURL && isXRootD(w.text) }
	// A URL that cannot name its proxy decides, else the first one.
	for _, w := range list {
		if w.profile != "" && (p.Profile == "" || !can(w)) {
			p.Profile = w.profile
			if !can(w) {
				break
			}
		}
	}
	for _, w := range list {
		switch {
		case can(w) && w.profile != "":
			p.InURL[w.index] = w.profile
		case can(w):
			p.InURL[w.index] = p.Profile
		case w.profile != "" && w.profile != p.Profile:
			return nil, &TwoProfilesError{Tool: filepath.Base(argv[0]), Profiles: [2]string{p.Profile, w.profile}}
		}
	}
	if len(p.Profiles()) < 2 {
		p.InURL = map[int]string{}
	}
	return p, nil
}

// Apply puts the proxy files of a plan with two profiles into their URLs; files
// has the file of each profile. All of them name theirs: the client keeps what
// one URL said for those that say nothing (measured with xrdcp 5.5.3). argv is
// not changed.
func (p *Plan) Apply(argv []string, files map[string]string) ([]string, error) {
	argv = slices.Clone(argv)
	for i, profile := range p.InURL {
		file := files[profile]
		if strings.ContainsAny(file, "?&# ") {
			return nil, fmt.Errorf("the path %q cannot stand in a URL; set runtime_dir to one that can", file)
		}
		separator := "?"
		if strings.Contains(argv[i], "?") {
			separator = "&"
		}
		argv[i] += separator + "xrd.gsiusrpxy=" + file
	}
	return argv, nil
}
