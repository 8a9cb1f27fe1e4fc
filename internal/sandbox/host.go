package sandbox

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"
)

// Host is the kind of certificate that the server shows.
type Host int

// The kinds of host certificates.
const (
	HostGood        Host = iota // names localhost and 127.0.0.1 as alternative names
	HostCommonName              // CN=localhost, no alternative name
	HostService                 // CN=host/localhost, no alternative name
	HostMyProxy                 // CN=myproxy/localhost, no alternative name
	HostWrongName               // names other.example.org only
	HostExpired                 // ended an hour ago
	HostNotYetValid             // begins in an hour
	HostUntrusted               // signed by a CA that is in no trust directory
	HostRevoked                 // in the CRL of the trust directory
)

// SetHost gives the server another certificate for the connections to come.
func (s *Sandbox) SetHost(h Host) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.makeHost(h); err != nil {
		return fmt.Errorf("make the sandbox's host certificate: %w", err)
	}
	return s.writeTrust() // the CRL changes with HostRevoked
}

// makeHost signs the certificate. s.mu is held.
func (s *Sandbox) makeHost(h Host) error {
	key, err := s.keys.get(s.ctx, keyHost)
	if err != nil {
		return err
	}
	now, ca := s.now(), s.ca
	from, to := now.Add(-past), now.AddDate(1, 0, 0)
	cn, names := "localhost", []string{"localhost", "127.0.0.1", "::1"}
	switch h {
	case HostCommonName:
		names = nil
	case HostService:
		cn, names = "host/localhost", nil
	case HostMyProxy:
		cn, names = "myproxy/localhost", nil
	case HostWrongName:
		cn, names = "other.example.org", []string{"other.example.org"}
	case HostExpired:
		from, to = now.Add(-2*past), now.Add(-past)
	case HostNotYetValid:
		from = now.Add(past)
	case HostUntrusted:
		if ca, err = newUntrustedAuthority(now); err != nil {
			return err
		}
	}
	cert, err := ca.host(cn, names, key.Public(), from, to)
	if err != nil {
		return err
	}
	s.host, s.hostCert = h, cert
	// Measured: the server sends its CA's root too.
	s.hostTLS = tls.Certificate{Certificate: [][]byte{cert.Raw, ca.cert.Raw}, PrivateKey: key, Leaf: cert}
	return nil
}

// tlsConfig is that of the real server: a client certificate is asked for, of
// no CA in particular, and not needed; no session tickets; one write is one
// record.
func (s *Sandbox) tlsConfig(c *conversation) *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &tls.Config{
		Certificates:                []tls.Certificate{s.hostTLS},
		MinVersion:                  s.opts.MinTLS,
		MaxVersion:                  s.opts.MaxTLS,
		ClientAuth:                  tls.RequestClientCert,
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
		Time:                        s.now,
		VerifyPeerCertificate:       c.identify,
	}
}

// timeout is how long a conversation may take, as the real server's
// request_timeout.
const timeout = 120 * time.Second

// HostCertificate is the certificate of the servers here.
func (s *Sandbox) HostCertificate() *x509.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hostTLS.Leaf
}
