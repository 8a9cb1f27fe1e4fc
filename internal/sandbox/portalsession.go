package sandbox

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"
)

// portalSession is a transaction of the portal: from /authorize until its
// tokens are revoked or forgotten.
type portalSession struct {
	cookie   string
	client   *PortalClient // who began it; its ID stays the audience
	redirect string
	state    string
	nonce    string
	scopes   []string
	idphint  string
	begun    time.Time

	user     PortalUser
	loggedIn time.Time // auth_time, and when the portal got its CA token

	certified bool // by the CA, with that token

	code        string
	codeGood    bool
	access      string
	accessGood  bool
	issued      time.Time // the access token
	refresh     string
	refreshEnds time.Time
}

// newToken is an identifier as the portal makes them: a URL with a random
// number that loses its leading zeros, and the time of issue in milliseconds.
func (p *Portal) newToken(kind string) string {
	var number [16]byte
	_, _ = rand.Read(number[:]) // cannot fail since Go 1.24
	hex := strings.TrimLeft(fmt.Sprintf("%x", number), "0")
	return fmt.Sprintf("%s/%s/%s/%d", p.URL(), kind, hex, p.s.now().UnixMilli())
}

// grant ends a login with a code.
func (p *Portal) grant(session *portalSession) {
	session.code, session.codeGood = p.newToken("authzGrant"), true
	p.codes[session.code] = session
}

// issueAccess replaces the access token: the old one is dead at once.
func (p *Portal) issueAccess(session *portalSession) {
	delete(p.access, session.access)
	session.access, session.accessGood, session.issued = p.newToken("accessToken"), true, p.s.now()
	p.access[session.access] = session
}

// issueRefresh replaces the refresh token; every rotation gives it a full life
// again.
func (p *Portal) issueRefresh(session *portalSession, c *PortalClient) time.Duration {
	delete(p.refresh, session.refresh)
	life := min(c.RefreshLife, portalRefreshLife)
	session.refresh, session.refreshEnds = p.newToken("refreshToken"), p.s.now().Add(life)
	p.refresh[session.refresh] = session
	return life
}

// drop ends a session: no token of it means anything any more.
func (p *Portal) drop(session *portalSession) {
	delete(p.codes, session.code)
	delete(p.access, session.access)
	delete(p.refresh, session.refresh)
}

// expired says whether a session's access token is older than 15 minutes.
func (p *Portal) expired(session *portalSession) bool {
	return p.s.now().Sub(session.issued) > portalTokenLife
}

// spell is the words of a time-out; the layout is that of java.util.Date.
func spell(from time.Time) string {
	const layout = "Mon Jan 02 15:04:05 MST 2006"
	return fmt.Sprintf("Error: Time expired. The request was only valid between %s and %s. Request rejected.",
		from.UTC().Format(layout), from.Add(portalTokenLife).UTC().Format(layout))
}

// Sessions is how many logins are alive, those with a code that nobody fetched
// included.
func (p *Portal) Sessions() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	alive := map[*portalSession]bool{}
	for _, index := range []map[string]*portalSession{p.codes, p.access, p.refresh} {
		for _, session := range index {
			alive[session] = true
		}
	}
	return len(alive)
}
