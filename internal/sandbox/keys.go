package sandbox

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"sync"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safego"
)

// keyBits is the size of every RSA key here: that of the measured servers and
// users, and the least that OpenSSL 3 takes at Debian's security level.
const keyBits = 2048

// Keys is a set of RSA keys, each made when it is first wanted. Tests that
// start many sandboxes give the same Keys to all of them: making three keys is
// nearly all that Start costs.
type Keys struct {
	mu   sync.Mutex
	made map[string]*pendingKey
}

// NewKeys returns an empty set.
func NewKeys() *Keys { return &Keys{made: map[string]*pendingKey{}} }

type pendingKey struct {
	done <-chan struct{}
	key  *rsa.PrivateKey
	err  error
}

// The names of the keys in a set. All users of a sandbox share one key, and
// all stored proxies another: nobody here checks that keys are distinct, and
// each costs about 100 ms.
const (
	keyCA    = "ca"
	keyHost  = "host"
	keyUser  = "user"
	keyProxy = "proxy"
	// A portal signs id_tokens with one key, and makes its proxies with another.
	keyPortal = "portal"
	keyIssued = "issued"
)

// start begins to make the named key unless that was begun before.
func (k *Keys) start(name string) *pendingKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.made[name]; p != nil {
		return p
	}
	p := &pendingKey{}
	done := make(chan struct{})
	p.done = done
	safego.Go(func() error {
		defer close(done)
		p.key, p.err = rsa.GenerateKey(rand.Reader, keyBits)
		return p.err
	})
	k.made[name] = p
	return p
}

// get returns the named key, and waits for it if need be.
func (k *Keys) get(ctx context.Context, name string) (*rsa.PrivateKey, error) {
	p := k.start(name)
	select {
	case <-p.done:
		return p.key, p.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
