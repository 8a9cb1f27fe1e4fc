package helper

// choose finds the profile of a request: by its name, else the environment's
// X509_CREDENTIAL_PROFILE, else by URL, else the default one.
func (h *Helper) choose(s Selection) (*Profile, error) {
	c := h.Config
	if c.err != nil {
		return nil, c.err
	}
	name := s.Profile
	if name == "" {
		name = h.Getenv("X509_CREDENTIAL_PROFILE")
		if name != "" && !isName(name) {
			return nil, Errorf(CodeInvalidRequest, "X509_CREDENTIAL_PROFILE is no name of a profile: %s", quoteName(name))
		}
	}
	if name != "" {
		return c.Profile(name)
	}
	if s.URL != "" {
		return c.matchURL(s.URL)
	}
	if c.DefaultProfile == "" {
		return nil, Errorf(CodeNotConfigured, "no profile was asked for and the configuration has no default_profile").
			WithHint("%s", c.whereHint())
	}
	return c.Profile(c.DefaultProfile)
}

// matchURL finds the profile for a URL. The default profile serves what nobody
// matches only if it does not say itself what it is for.
func (c *Config) matchURL(text string) (*Profile, error) {
	p, err := c.Match(text)
	if p != nil || err != nil {
		return p, err
	}
	if p := c.profiles[c.DefaultProfile]; p != nil && len(p.Match) == 0 {
		return c.Profile(p.Name)
	}
	return nil, Errorf(CodeNoProfileForURL, "no profile matches this URL").
		WithHint("add it to the match list of a profile")
}

// Match finds the profile whose pattern says most about a URL, or nil if none
// matches it. An error in the whole configuration is one here, too.
func (c *Config) Match(text string) (*Profile, error) {
	if c.err != nil {
		return nil, c.err
	}
	u, err := parseURL(text)
	if err != nil {
		return nil, Errorf(CodeInvalidRequest, "the URL is not valid: %w", err)
	}
	var best, tie *Profile
	var pattern *Pattern
	for _, p := range c.Profiles() {
		for _, m := range p.Match {
			if !m.Matches(u) {
				continue
			}
			switch {
			case best == nil || m.compare(pattern) > 0:
				best, pattern, tie = p, m, nil
			case m.compare(pattern) == 0 && p != best:
				tie = p
			}
		}
	}
	switch {
	case tie != nil:
		return nil, Errorf(CodeNotConfigured, "the profiles %q and %q match this URL equally well", best.Name, tie.Name).
			WithHint("make the pattern of one of them more specific, or name the profile")
	case best != nil:
		return c.Profile(best.Name)
	}
	return nil, nil
}
