package consumer

import (
	"fmt"
	"io"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// maxProxy bounds a proxy file; gsi takes no more either.
const maxProxy = 1 << 20

// Check opens a proxy file as a tool will and says whether it can work: a
// regular file that nobody else may read, a certificate with its key, and at
// least min of life left in the whole chain. Tools name none of that: XRootD
// says "No protocols left to try", gfal2 "Host is down".
func Check(path string, min time.Duration, now time.Time) (*gsi.Info, error) {
	f, err := openProxy(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxProxy+1))
	if err != nil {
		return nil, fmt.Errorf("read the proxy file: %w", err)
	}
	defer clear(data)
	if len(data) > maxProxy {
		return nil, fmt.Errorf("the proxy file %s is larger than %d bytes", path, maxProxy)
	}
	cred, err := gsi.ParseCredential(data)
	if err != nil {
		return nil, fmt.Errorf("the proxy file %s cannot be used: %w", path, err)
	}
	info, err := gsi.Inspect(cred.Chain)
	if err != nil {
		return nil, fmt.Errorf("the proxy file %s cannot be used: %w", path, err)
	}
	switch left := info.NotAfter.Sub(now); {
	case left <= 0:
		return nil, fmt.Errorf("the proxy in %s expired at %s", path, info.NotAfter.UTC().Format(time.RFC3339))
	case left < min:
		return nil, fmt.Errorf("the proxy in %s lives only until %s", path, info.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(info.NotBefore):
		return nil, fmt.Errorf("the proxy in %s is not valid before %s", path, info.NotBefore.UTC().Format(time.RFC3339))
	}
	return info, nil
}
