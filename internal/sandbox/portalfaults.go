package sandbox

import (
	"context"
	"time"
)

// PortalFaults is what goes wrong at the portal. The zero value is the real
// server's behaviour.
type PortalFaults struct {
	// Endpoint is the only one that is struck ("token", "getproxy" …); "" is
	// all.
	Endpoint string
	// Delay waits before the request is looked at.
	Delay time.Duration
	// Hang never answers; the request is not looked at.
	Hang bool
	// CloseBefore ends the connection before the request is looked at,
	// CloseAfter once all has been done but before a byte of the answer.
	CloseBefore, CloseAfter bool
	// Answer changes what is sent.
	Answer func(*PortalAnswer)

	// MyProxy is the state of the portal's credential store.
	MyProxy PortalMyProxy
	// NoCA answers every request for a new certificate as if the portal's own
	// CA token had ended.
	NoCA bool

	// Claims and Header change the id_token before it is signed; "alg":"none"
	// leaves it unsigned. Claims of userinfo are changed too.
	Claims func(claims map[string]any)
	Header func(header map[string]any)
	// BadSignature spoils the signature of the id_token or of the proxy.
	BadSignature bool

	// WrongKey sends another private key than the proxy's.
	WrongKey bool
	// As sends a proxy of the user of this subject.
	As string
	// Limited makes a limited proxy that nobody registered for.
	Limited bool
	// NoVOMS ignores voname.
	NoVOMS bool
	// Skew is how far the portal's clock is ahead when it signs a proxy.
	Skew time.Duration
	// Lifetime is that of the proxy whatever was asked; 0 is what was asked.
	Lifetime time.Duration
}

// PortalMyProxy is the state of the MyProxy server behind a portal.
type PortalMyProxy int

// The states.
const (
	PortalMyProxyUp          PortalMyProxy = iota
	PortalMyProxyUnreachable               // no connection, or one that is closed at once
	PortalMyProxyInfoFails                 // the connection stands, INFO fails
	PortalMyProxyRefuses                   // INFO works, GET is refused
)

// SetFaults makes the faults of every request from now on; the zero value
// heals the portal.
func (p *Portal) SetFaults(f PortalFaults) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = f
}

// Next queues the faults of the next requests, one each: faults of an endpoint
// wait for a request to it. Requests without any have those of SetFaults.
func (p *Portal) Next(f ...PortalFaults) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = append(p.next, f...)
}

func (p *Portal) takeFaults(endpoint string) PortalFaults {
	for i, f := range p.next {
		if f.Endpoint == "" || f.Endpoint == endpoint {
			p.next = append(p.next[:i:i], p.next[i+1:]...)
			return f
		}
	}
	if p.faults.Endpoint != "" && p.faults.Endpoint != endpoint {
		return PortalFaults{}
	}
	return p.faults
}

// before is what happens before a request is looked at; false ends it there.
func (f *PortalFaults) before(ctx context.Context) bool {
	if f.Hang {
		<-ctx.Done()
		return false
	}
	if f.Delay > 0 && !pause(ctx, f.Delay) {
		return false
	}
	return !f.CloseBefore
}

// pause waits; false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
