package sandbox

import (
	"fmt"
	"slices"
	"strings"
)

// info is command 2: all credentials of the user name that the client owns.
func (c *conversation) info(r *request) error {
	found := c.s.owned(r, c.peer.name)
	if len(found) == 0 {
		return c.answer(StageRequest, errorResponse(nothingFound(r, c.peer.name)))
	}
	return c.answer(StageRequest, infoResponse(found))
}

func nothingFound(r *request, owner string) string {
	if r.credName != nil {
		return fmt.Sprintf("no credentials found with name %s for user %s, , owner \"%s\" ", *r.credName, r.username, owner)
	}
	return fmt.Sprintf("no credentials found for user %s, owner \"%s\" ", r.username, owner)
}

// owned finds what INFO shows, the default credential first. It goes by the
// names in the credentials, but finds the named ones by their files only.
func (s *Sandbox) owned(r *request, owner string) []*credential {
	s.mu.Lock()
	defer s.mu.Unlock()
	var unnamed, others []*credential
	for stem, cred := range s.store {
		switch {
		case cred.username != r.username || cred.owner != owner:
		case cred.name == nil && (r.credName == nil || *r.credName == ""):
			unnamed = append(unnamed, cred)
		case cred.name != nil && (r.credName == nil || *r.credName == *cred.name) && listed(stem, r.username):
			others = append(others, cred)
		}
	}
	slices.SortFunc(others, func(a, b *credential) int { return strings.Compare(*a.name, *b.name) })
	return append(unnamed, others...)
}

// listed says whether the real server finds the file of a named credential
// when it goes through its directory. It forgets there that long names are
// hashed, and takes what is before the first hyphen for the user, so that it
// does not find all of its own files again.
func listed(stem, username string) bool {
	prefix := username
	switch {
	case strings.Contains(username, "/"):
		prefix = sterile(username)
	case strings.HasPrefix(username, "."):
		prefix = "-" + username[1:]
	}
	user, name, _ := strings.Cut(stem, "-")
	return strings.HasPrefix(stem, prefix) && storageName(user, &name) == stem
}

// infoResponse lists credentials: the fields of the first have no name in
// them, those of the others their credential's.
func infoResponse(found []*credential) []byte {
	var b strings.Builder
	b.WriteString("VERSION=MYPROXYv2\nRESPONSE=0\n")
	var more []string
	for i, c := range found {
		name := "CRED_"
		if i > 0 {
			name += *c.name + "_"
			more = append(more, *c.name)
		}
		field := func(suffix string, value *string) {
			if value != nil {
				b.WriteString(name + suffix + "=" + *value + "\n")
			}
		}
		start, end := c.file.times()
		if i == 0 {
			field("NAME", c.name)
		}
		field("DESC", c.description)
		fmt.Fprintf(&b, "%sSTART_TIME=%d\n%sEND_TIME=%d\n", name, start.Unix(), name, end.Unix())
		field("OWNER", &c.owner)
		field("RETRIEVER", c.retriever)
		field("KEYRETRIEVERS", c.keyRetriever)
		field("RETRIEVER_TRUSTED", c.trustedRetriever)
		field("RENEWER", c.renewer)
		field("LOCKMSG", c.lockLine())
	}
	if len(more) > 0 {
		b.WriteString("ADDL_CREDS=" + strings.Join(more, ",") + "\n")
	}
	b.WriteByte(0)
	return []byte(b.String())
}

// lockLine is what clients see of a lock's message.
func (c *credential) lockLine() *string {
	if c.lock == nil {
		return nil
	}
	line, _, _ := strings.Cut(*c.lock, "\n")
	return &line
}

// destroy is command 3.
func (c *conversation) destroy(r *request) error {
	if !c.s.drop(r.username, r.credName) {
		return c.answer(StageRequest, errorResponse("Credentials do not exist. "))
	}
	return c.answer(StageRequest, okResponse(nil))
}

// change is command 4. An empty new pass phrase leaves the key unencrypted.
func (c *conversation) change(r *request, stored *credential) error {
	if refusal := passphraseRefusal(r.newPassphrase); refusal != "" {
		return c.answer(StageRequest, errorResponse(refusal))
	}
	key, err := stored.file.open(r.passphrase)
	if err == nil {
		err = c.s.amend(r.username, r.credName, func(changed *credential) error {
			err := changed.encrypt(key, r.newPassphrase)
			if err == nil {
				changed.file, err = changed.file.relabelled()
			}
			return err
		})
	}
	if err != nil {
		return c.answer(StageRequest, errorResponse("Unable to change pass phrase."))
	}
	return c.answer(StageRequest, okResponse(nil))
}

// retrieve is command 6: the stored text as it is, with a NUL.
func (c *conversation) retrieve(r *request, stored *credential) error {
	if err := c.answer(StageRequest, okResponse(c.wantedRoots(r))); err != nil {
		return err
	}
	if c.faults.RefuseLate != "" {
		return c.answer(StageCSR, errorResponse(c.faults.RefuseLate))
	}
	if err := c.answer(StageCSR, append(slices.Clone(stored.file.text), 0)); err != nil {
		return err
	}
	return c.answer(StageEnd, okResponse(nil))
}

// sendRoots is command 7. Whether the client asks for trust roots in the
// request, too, is not looked at.
func (c *conversation) sendRoots() error {
	return c.answer(StageRequest, okResponse(c.roots()))
}

// wantedRoots are the trust roots that the first response of GET and RETRIEVE
// carries if the client wants them.
func (c *conversation) wantedRoots(r *request) []rootFile {
	if !r.trustedCerts {
		return nil
	}
	return c.roots()
}

func (c *conversation) roots() []rootFile {
	if c.s.opts.NoTrustRoots {
		return nil
	}
	return c.s.trustRoots()
}
