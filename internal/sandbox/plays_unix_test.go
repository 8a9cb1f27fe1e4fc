//go:build unix

package sandbox

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"strings"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// simple is a request with one answer.
func simple(request string) func(*dialog) {
	return func(d *dialog) {
		d.say([]byte(request))
		d.hear()
	}
}

// get goes on with a certificate request.
func (w *twins) get(request string) func(*dialog) {
	return w.getFor(request, testCSR(w.t, testKey(w.t), false))
}

func (w *twins) getFor(request string, csr []byte) func(*dialog) {
	return func(d *dialog) {
		d.say([]byte(request))
		if _, ok := d.ok("0"); ok {
			d.say(csr)
			if !bytes.HasPrefix(d.hear(), []byte("VERSION")) {
				d.hear()
			}
		}
	}
}

// store goes on with a text.
func store(request string, text []byte) func(*dialog) {
	return func(d *dialog) {
		d.say([]byte(request))
		if _, ok := d.ok("0"); ok {
			d.say(text)
			d.hear()
		}
	}
}

// put goes on with a proxy that answer makes for the server's key.
func put(request string, answer func(pub crypto.PublicKey) []byte) func(*dialog) {
	return func(d *dialog) {
		d.say([]byte(request))
		if _, ok := d.ok("0"); !ok {
			return
		}
		csr, err := x509.ParseCertificateRequest(d.hear())
		if err != nil {
			d.said = append(d.said, err.Error())
			return
		}
		d.say(answer(csr.PublicKey))
		d.hear()
	}
}

// delegate is an ordinary answer to PUT.
func (w *twins) delegate(name string, o proxyOptions) func(crypto.PublicKey) []byte {
	issuer := w.person(name)
	return func(pub crypto.PublicKey) []byte {
		chain := append([]*x509.Certificate{w.certificate(issuer, pub, o)}, issuer.Chain...)
		return counted(chain)
	}
}

// retrieve hears the file and the last response.
func retrieve(request string) func(*dialog) {
	return func(d *dialog) {
		d.say([]byte(request))
		if _, ok := d.ok("0"); ok {
			d.hear()
			d.hear()
		}
	}
}

// renew answers the challenge with what reply makes of the two.
func (w *twins) renew(request string, reply func(sha1, sha256 string) []byte) func(*dialog) {
	csr := testCSR(w.t, testKey(w.t), false)
	return func(d *dialog) {
		d.say([]byte(request))
		response, challenged := d.ok("2")
		if found := challengeDigits.FindAllString(string(response), -1); challenged && len(found) == 2 {
			d.say(reply(strings.TrimSpace(found[0]), strings.TrimSpace(found[1])))
			response = d.hear()
		}
		if bytes.HasPrefix(response, []byte("VERSION=MYPROXYv2\nRESPONSE=0\n")) {
			d.say(csr)
			if !bytes.HasPrefix(d.hear(), []byte("VERSION")) {
				d.hear()
			}
		}
	}
}

// sign is an ordinary reply to a challenge.
func (w *twins) sign(c *gsi.Credential, method byte) func(sha1, sha256 string) []byte {
	return func(older, newer string) []byte {
		return renewalMessage(w.t, c, method, map[byte]string{methodSHA1: older, methodSHA256: newer}[method])
	}
}
