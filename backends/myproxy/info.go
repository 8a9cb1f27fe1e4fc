package myproxy

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"
)

// InfoRequest is what Info asks for.
type InfoRequest struct{ Username string }

// InfoResult is what a server has of a user.
type InfoResult struct {
	// Credentials are those of the user that belong to Client.Identity, in the
	// order of the answer. None: nothing is stored, or another owner's; servers
	// do not say which.
	Credentials []StoredCredential
	Server      string       // host:port
	Unanswered  []*HostError // the servers that were tried before it
}

// StoredCredential describes one. Texts are the server's own: clean them before
// a terminal shows them.
type StoredCredential struct {
	Name        string // "" is the one without
	Description string
	Start, End  time.Time // zero where the server did not say
	Owner       string    // one-line form
	// The policies as they were stored; "" is the server's default.
	Retriever, KeyRetrievers, TrustedRetriever, Renewer string
	LockMessage                                         string // why it is locked, "" where it is not
}

// Info lists the credentials of a user that belong to Client.Identity (command
// INFO). A user with nothing stored, or with another owner's, is no error but an
// empty result.
func (c *Client) Info(ctx context.Context, req InfoRequest) (*InfoResult, error) {
	if _, err := c.owner(); err != nil {
		return nil, err
	}
	var got InfoResult
	where, err := c.run(ctx, &exchange{
		// The C client sends a lifetime of 0, too; the field is mandatory.
		request: request{command: commandInfo, username: req.Username}, identity: c.Identity,
		follow: func(s *session, first *response) (err error) {
			if err := s.demandOK(first, StageRequest); err != nil {
				return err
			}
			if got.Credentials, err = first.credentials(); err != nil {
				return s.explain("", err)
			}
			return nil
		},
	})
	if server, ok := nothingStored(err); ok {
		return &InfoResult{Server: server, Unanswered: silentHosts(err)}, nil
	}
	if err != nil {
		return nil, err
	}
	got.Server, got.Unanswered = where.server, where.unanswered
	return &got, nil
}

// nothingStored recognises the refusal that is no failure.
func nothingStored(err error) (server string, ok bool) {
	var said *ServerError
	if !errors.As(err, &said) || said.ClearText || len(said.Texts) == 0 {
		return "", false
	}
	return said.Server, strings.HasPrefix(said.Texts[0], "no credentials found for user")
}

// The fields of INFO. Those of the first credential are CRED_ and the field,
// those of the others CRED_, its name, "_" and the field; the names are in
// ADDL_CREDS.
const (
	infoPrefix = "CRED_"
	infoOthers = "ADDL_CREDS"
)

func isInfoKey(key string) bool { return key == infoOthers || strings.HasPrefix(key, infoPrefix) }

// addField keeps a field of INFO.
func (r *response) addField(key, value string) error {
	if r.fields == nil {
		r.fields = make(map[string]string)
	}
	if _, twice := r.fields[key]; twice {
		return &ProtocolError{Reason: "sent the field " + quoteName(key) + " twice"}
	}
	r.fields[key] = value
	return nil
}

// credentials reads the fields of INFO, whatever their order. Names may contain
// "_", so only the list tells where one ends.
func (r *response) credentials() ([]StoredCredential, error) {
	var all []StoredCredential
	first, found, err := r.credential("", r.fields["CRED_NAME"])
	if err != nil {
		return nil, err
	}
	if found {
		all = append(all, first)
	}
	seen := map[string]bool{"": true}
	for name := range strings.SplitSeq(r.fields[infoOthers], ",") {
		if seen[name] {
			continue
		}
		seen[name] = true
		next, found, err := r.credential(name+"_", name)
		if err != nil {
			return nil, err
		}
		if found {
			all = append(all, next)
		}
	}
	return all, nil
}

// credential reads the fields that begin with CRED_ and prefix; found is false
// where there are none.
func (r *response) credential(prefix, name string) (c StoredCredential, found bool, err error) {
	c.Name, found = name, prefix == "" && name != ""
	for field, to := range map[string]*string{
		"DESC": &c.Description, "OWNER": &c.Owner, "RETRIEVER": &c.Retriever, "KEYRETRIEVERS": &c.KeyRetrievers,
		"RETRIEVER_TRUSTED": &c.TrustedRetriever, "RENEWER": &c.Renewer, "LOCKMSG": &c.LockMessage,
	} {
		value, ok := r.fields[infoPrefix+prefix+field]
		*to, found = value, found || ok
	}
	for field, to := range map[string]*time.Time{"START_TIME": &c.Start, "END_TIME": &c.End} {
		value, ok := r.fields[infoPrefix+prefix+field]
		if !ok {
			continue
		}
		found = true
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds < 0 || seconds > maxTime {
			return c, false, &ProtocolError{Reason: "sent a time that is none"}
		}
		*to = time.Unix(seconds, 0)
	}
	return c, found, nil
}

// maxTime is the end of the year 9999: RFC 3339 knows no later one.
const maxTime = 253402300799
