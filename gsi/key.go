package gsi

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"runtime"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// KeyType names a kind of key pair, as in configuration files.
type KeyType string

// The key types. RSA-2048 is the one that works everywhere: XRootD's GSI and
// MyProxy's CA mode refuse elliptic curves (measured: xrootd 5.5.3 "[FATAL]
// Auth failed", myproxy-server 6.2.14 "Certificate generation failure").
const (
	KeyRSA2048 KeyType = "rsa2048"
	KeyRSA3072 KeyType = "rsa3072"
	KeyRSA4096 KeyType = "rsa4096"
	KeyP256    KeyType = "p256"
)

// ParseKeyType reads a key type's name; "" is RSA-2048.
func ParseKeyType(s string) (KeyType, error) {
	switch t := KeyType(s); t {
	case "":
		return KeyRSA2048, nil
	case KeyRSA2048, KeyRSA3072, KeyRSA4096, KeyP256:
		return t, nil
	}
	return "", fmt.Errorf("unknown key type %q: use %s, %s, %s or %s", s, KeyRSA2048, KeyRSA3072, KeyRSA4096, KeyP256)
}

func (t KeyType) bits() int {
	switch t {
	case KeyRSA2048:
		return 2048
	case KeyRSA3072:
		return 3072
	case KeyRSA4096:
		return 4096
	}
	return 0
}

// GenerateKey makes a key pair. The time that RSA takes varies tenfold from
// one call to the next, so where there is a second processor two generators
// race and the first one wins. A generator cannot be stopped: the loser's work
// is thrown away when it ends, and so is the winner's where ctx ended first.
func GenerateKey(ctx context.Context, t KeyType) (crypto.Signer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if t == KeyP256 {
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	bits := t.bits()
	if bits == 0 {
		_, err := ParseKeyType(string(t))
		if err == nil {
			err = fmt.Errorf("no key type given")
		}
		return nil, err
	}
	keys := make(chan *rsa.PrivateKey, 2)
	generate := func() error {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err == nil {
			keys <- key
		}
		return err
	}
	first := safego.Go(generate)
	var second <-chan error // never ready where there is one processor
	running := 1
	if runtime.GOMAXPROCS(0) > 1 {
		second = safego.Go(generate)
		running = 2
	}
	for {
		var err error
		select {
		case key := <-keys:
			return key, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case err = <-first:
			first = nil
		case err = <-second:
			second = nil
		}
		// A generator that ended well has put its key into the channel.
		if err != nil {
			if running--; running == 0 {
				return nil, fmt.Errorf("cannot generate a key: %w", err)
			}
		}
	}
}

// PendingKey is a key pair that is being made while its owner connects or
// asks for a pass phrase.
type PendingKey struct {
	done chan struct{}
	key  crypto.Signer
	err  error
}

// StartKey starts to make a key pair and returns at once.
func StartKey(ctx context.Context, t KeyType) *PendingKey {
	p := &PendingKey{done: make(chan struct{})}
	safego.Go(func() error {
		defer close(p.done)
		p.err = safego.Call(func() (err error) {
			p.key, err = GenerateKey(ctx, t)
			return err
		})
		return nil
	})
	return p
}

// Wait returns the key once it is there. It may be called more than once and
// from several goroutines.
func (p *PendingKey) Wait(ctx context.Context) (crypto.Signer, error) {
	select {
	case <-p.done:
		return p.key, p.err
	default:
	}
	select {
	case <-p.done:
		return p.key, p.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
