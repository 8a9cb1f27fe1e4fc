package gsi

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseKeyType(t *testing.T) {
	for text, want := range map[string]KeyType{"": KeyRSA2048, "rsa4096": KeyRSA4096, "p256": KeyP256} {
		if got, err := ParseKeyType(text); got != want || err != nil {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	if _, err := ParseKeyType("rsa1024"); err == nil || !strings.Contains(err.Error(), "rsa2048") {
		t.Errorf("rsa1024: %v, want an error that names what there is", err)
	}
}

func TestGenerateKey(t *testing.T) {
	key, err := GenerateKey(t.Context(), KeyRSA2048)
	if err != nil {
		t.Fatal(err)
	}
	if k, ok := key.(*rsa.PrivateKey); !ok || k.N.BitLen() != 2048 || k.E != 65537 {
		t.Errorf("got %T", key)
	}
	if key, err = GenerateKey(t.Context(), KeyP256); err != nil {
		t.Fatal(err)
	}
	if _, ok := key.(*ecdsa.PrivateKey); !ok {
		t.Errorf("got %T", key)
	}
	for _, kind := range []KeyType{"", "rsa1024"} {
		if key, err := GenerateKey(t.Context(), kind); err == nil {
			t.Errorf("%q: got %T", kind, key)
		}
	}
}

// TestGenerateKeyEnds: RSA-4096 takes seconds, a caller's deadline comes first.
func TestGenerateKeyEnds(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := GenerateKey(ctx, KeyRSA4096); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestPendingKey(t *testing.T) {
	p := StartKey(t.Context(), KeyP256)
	a, err := p.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.Wait(t.Context())
	if err != nil || a != b {
		t.Errorf("a second Wait gives another key, %v", err)
	}
	if _, err := StartKey(t.Context(), "nonsense").Wait(t.Context()); err == nil {
		t.Error("nonsense: no error")
	}
	never := &PendingKey{done: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := never.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
