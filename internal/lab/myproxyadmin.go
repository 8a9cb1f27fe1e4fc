package lab

import (
	"os"
	"path/filepath"
)

// Lock keeps a stored credential from being fetched, as the administrator does
// with myproxy-admin-query -l (gct/myproxy_creds.c: a file beside the
// credential); name is "" for the default one. Clients are told the first line
// of the message.
func (m *MyProxy) Lock(user, name, message string) {
	m.t.Helper()
	writeFile(m.t, m.stored(user, name, "lock"), []byte(message), 0o600)
}

// Unlock ends Lock.
func (m *MyProxy) Unlock(user, name string) {
	m.t.Helper()
	if err := os.Remove(m.stored(user, name, "lock")); err != nil {
		m.t.Fatalf("%v", err)
	}
}

// StoredPEM returns the stored text of a credential, its key encrypted as it
// lies there; name is "" for the default one.
func (m *MyProxy) StoredPEM(user, name string) []byte {
	m.t.Helper()
	data, err := os.ReadFile(m.stored(user, name, "creds"))
	if err != nil {
		m.t.Fatalf("%v", err)
	}
	return data
}

// Remove takes a credential out of the repository, whoever owns it.
func (m *MyProxy) Remove(user, name string) {
	m.t.Helper()
	for _, suffix := range []string{"data", "creds"} {
		if err := os.Remove(m.stored(user, name, suffix)); err != nil {
			m.t.Fatalf("%v", err)
		}
	}
}

// stored is the path of a credential's file. Names that the server would hash
// or change are not for the lab.
func (m *MyProxy) stored(user, name, suffix string) string {
	if name != "" {
		user += "-" + name
	}
	return filepath.Join(m.store(), user+"."+suffix)
}
