package consumer

import (
	"fmt"
	"slices"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
)

// Fit says whether servers that a command goes to can take the proxy at all.
// XRootD's GSI does its key exchange with RSA alone: every other key ends in
// "ErrExportPuK: encrypting client DH public parameters" or just in "Auth
// failed: No protocols left to try" (measured: xrootd 5.5.3).
func Fit(argv []string, info *gsi.Info) error {
	if info.KeyAlgorithm == "RSA" || !slices.ContainsFunc(URLs(argv), isXRootD) {
		return nil
	}
	return fmt.Errorf("XRootD (root://) takes only proxies with an RSA key, and this one has a key of the kind %s; set key = %q in the profile, or take https:// or davs://",
		info.KeyAlgorithm, gsi.KeyRSA2048)
}
