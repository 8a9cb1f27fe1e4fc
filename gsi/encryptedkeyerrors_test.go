package gsi

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestEncryptedKeyErrors: each parameter out of bounds, and what no pass
// phrase opens. What is refused for its cost must not cost it.
func TestEncryptedKeyErrors(t *testing.T) {
	cred := withKey(t, newECKey(t))
	der, err := x509.MarshalPKCS8PrivateKey(cred.Key)
	if err != nil {
		t.Fatal(err)
	}
	scrypt := func(n, r, p int) func(*encryptedParts) {
		return func(e *encryptedParts) {
			e.Scrypt = &scryptParams{Salt: []byte("12345678"), Cost: n, Block: r, Thread: p}
		}
	}
	for name, tt := range map[string]struct {
		change func(*encryptedParts)
		want   error
	}{
		"as it should be":             {func(*encryptedParts) {}, nil},
		"key length given":            {func(p *encryptedParts) { p.KDF.KeyLength = 32 }, nil},
		"no iteration":                {func(p *encryptedParts) { p.KDF.Iterations = 0 }, ErrBadKey},
		"fewer than no iterations":    {func(p *encryptedParts) { p.KDF.Iterations = -1 }, ErrBadKey},
		"10 million and one":          {func(p *encryptedParts) { p.KDF.Iterations = 10_000_001 }, ErrKeyCost},
		"2^62 iterations":             {func(p *encryptedParts) { p.KDF.Iterations = 1 << 62 }, ErrKeyCost},
		"salt of 1025 bytes":          {func(p *encryptedParts) { p.KDF.Salt = make([]byte, 1025) }, ErrKeyCost},
		"key length of another":       {func(p *encryptedParts) { p.KDF.KeyLength = 16 }, ErrBadKey},
		"unknown hash":                {func(p *encryptedParts) { p.KDF.PRF.Algorithm = asn1.ObjectIdentifier{1, 2, 3} }, ErrKeyEncryption},
		"unknown derivation":          {func(p *encryptedParts) { p.Params.KDF.Algorithm = asn1.ObjectIdentifier{1, 2, 3} }, ErrKeyEncryption},
		"unknown cipher":              {func(p *encryptedParts) { p.Params.Scheme.Algorithm = asn1.ObjectIdentifier{1, 2, 3} }, ErrKeyEncryption},
		"unknown scheme":              {func(p *encryptedParts) { p.Info.Algorithm.Algorithm = asn1.ObjectIdentifier{1, 2, 3} }, ErrKeyEncryption},
		"IV too short":                {func(p *encryptedParts) { p.IV = p.IV[:15] }, ErrBadKey},
		"IV too long":                 {func(p *encryptedParts) { p.IV = append(p.IV, 0) }, ErrBadKey},
		"no data":                     {func(p *encryptedParts) { p.Info.Data = nil }, ErrBadKey},
		"data not of whole blocks":    {func(p *encryptedParts) { p.Info.Data = p.Info.Data[1:] }, ErrBadKey},
		"last block missing":          {func(p *encryptedParts) { p.Info.Data = p.Info.Data[:len(p.Info.Data)-16] }, ErrWrongPassphrase},
		"scrypt: cost of 1":           {scrypt(1, 8, 1), ErrBadKey},
		"scrypt: cost no power of 2":  {scrypt(1000, 8, 1), ErrBadKey},
		"scrypt: no block":            {scrypt(1024, 0, 1), ErrBadKey},
		"scrypt: no thread":           {scrypt(1024, 8, 0), ErrBadKey},
		"scrypt: 64 MiB and a bit":    {scrypt(65536, 8, 1), ErrKeyCost},
		"scrypt: blocks of 64 MiB":    {scrypt(2, 1<<19, 1), ErrKeyCost},
		"scrypt: 9 threads":           {scrypt(1024, 8, 9), ErrKeyCost},
		"scrypt: an overflow":         {scrypt(1<<40, 1<<40, 1), ErrKeyCost},
		"scrypt: many small threads":  {scrypt(2, 1, 1<<30), ErrKeyCost},
		"scrypt: other key, 16 MiB":   {scrypt(16384, 8, 1), ErrWrongPassphrase},
		"scrypt: other key, threads":  {scrypt(16, 1, 8), ErrWrongPassphrase},
		"scrypt: empty salt is salt":  {func(p *encryptedParts) { scrypt(16, 1, 1)(p); p.Scrypt.Salt = nil }, ErrWrongPassphrase},
		"scrypt: key length mismatch": {func(p *encryptedParts) { scrypt(16, 1, 1)(p); p.Scrypt.KeyLength = 24 }, ErrBadKey},
	} {
		t.Run(name, func(t *testing.T) {
			text := append(pem.EncodeToMemory(encryptFast(t, der, rightPassphrase, tt.change)), pemOf(cred.Leaf())...)
			start := time.Now()
			_, err := ParseCredentialWith(text, ParseOptions{Passphrase: []byte(rightPassphrase)})
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if took := time.Since(start); tt.want == ErrKeyCost && took > 30*time.Second {
				t.Errorf("refused for its cost, after %s", took)
			}
		})
	}
}

// TestEncryptedKeyBlocks: what is wrong around the encrypted bytes.
func TestEncryptedKeyBlocks(t *testing.T) {
	cred := withKey(t, rsaKeys()[0])
	block := func(kind, procType, dekInfo string, data []byte) *pem.Block {
		headers := map[string]string{}
		if procType != "" {
			headers["Proc-Type"] = procType
		}
		if dekInfo != "" {
			headers["DEK-Info"] = dekInfo
		}
		return &pem.Block{Type: kind, Headers: headers, Bytes: data}
	}
	iv, data := ",000102030405060708090A0B0C0D0E0F", make([]byte, 1200)
	for name, tt := range map[string]struct {
		block *pem.Block
		want  error
	}{
		"garbage in PKCS#8":           {block("ENCRYPTED PRIVATE KEY", "", "", []byte{0}), ErrBadKey},
		"PKCS#8 with something after": {block("ENCRYPTED PRIVATE KEY", "", "", append(encryptFast(t, []byte{5, 0}, "x", nil).Bytes, 0)), ErrBadKey},
		"both kinds at once":          {block("ENCRYPTED PRIVATE KEY", "4,ENCRYPTED", "AES-256-CBC"+iv, data), ErrBadKey},
		"encrypted of another kind":   {block("ENCRYPTED RSA PRIVATE KEY", "", "", data), ErrBadKey},
		"no DEK-Info":                 {block("RSA PRIVATE KEY", "4,ENCRYPTED", "", data), ErrBadKey},
		"DEK-Info alone":              {block("RSA PRIVATE KEY", "", "AES-256-CBC"+iv, data), ErrWrongPassphrase},
		"cipher without Go":           {block("RSA PRIVATE KEY", "4,ENCRYPTED", "CAMELLIA-256-CBC"+iv, data), ErrKeyEncryption},
		"no IV":                       {block("RSA PRIVATE KEY", "4,ENCRYPTED", "AES-256-CBC", data), ErrBadKey},
		"half an IV":                  {block("RSA PRIVATE KEY", "4,ENCRYPTED", "AES-256-CBC,0001", data), ErrBadKey},
		"IV that is no hex":           {block("RSA PRIVATE KEY", "4,ENCRYPTED", "AES-256-CBC,xyz", data), ErrBadKey},
		"no whole blocks":             {block("RSA PRIVATE KEY", "4,ENCRYPTED", "AES-256-CBC"+iv, data[1:]), ErrBadKey},
		"nothing":                     {block("RSA PRIVATE KEY", "4,ENCRYPTED", "AES-256-CBC"+iv, nil), ErrBadKey},
		"far too long":                {block("RSA PRIVATE KEY", "4,ENCRYPTED", "AES-256-CBC"+iv, make([]byte, 64<<10)), ErrBadKey},
	} {
		text := append(pem.EncodeToMemory(tt.block), pemOf(cred.Leaf())...)
		if _, err := ParseCredentialWith(text, ParseOptions{Passphrase: []byte("x")}); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
}

// TestEncryptedKeyOfOtherType: the pass phrase is right, the key is not for
// the grid; to call the pass phrase wrong would be a lie.
func TestEncryptedKeyOfOtherType(t *testing.T) {
	needTool(t, "openssl", "openssl")
	cred := withKey(t, newECKey(t))
	key := run(t, nil, "openssl", "genpkey", "-algorithm", "X25519", "-aes256", "-pass", "pass:"+rightPassphrase)
	text := append([]byte(key), pemOf(cred.Leaf())...)
	if _, err := ParseCredentialWith(text, ParseOptions{Passphrase: []byte(rightPassphrase)}); !errors.Is(err, ErrBadKey) {
		t.Errorf("got %v, want %v", err, ErrBadKey)
	}
	if _, err := ParseCredentialWith(text, ParseOptions{Passphrase: []byte(wrongPassphrase)}); !errors.Is(err, ErrWrongPassphrase) {
		t.Errorf("got %v, want %v", err, ErrWrongPassphrase)
	}
}

// TestOldEncryptionIsNamed: PKCS#12's and PBES1's ways are not read, and the
// error says what to do.
func TestOldEncryptionIsNamed(t *testing.T) {
	needTool(t, "openssl", "openssl")
	cred := withKey(t, newECKey(t))
	plain, err := cred.PEM()
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, filepath.Join(t.TempDir(), "key.pem"), plain)
	old := run(t, nil, "openssl", "pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES", "-in", file, "-passout", "pass:"+rightPassphrase)
	_, err = ParseCredentialWith(append([]byte(old), pemOf(cred.Leaf())...), ParseOptions{Passphrase: []byte(rightPassphrase)})
	if !errors.Is(err, ErrKeyEncryption) || !strings.Contains(err.Error(), "openssl pkey") {
		t.Errorf("got %v", err)
	}
}
