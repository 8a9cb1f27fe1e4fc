//go:build !unix

package consumer

import (
	"fmt"
	"os"
)

// openProxy relies on the access list of the directory that the file is in.
func openProxy(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the proxy file: %w", err)
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, fmt.Errorf("the proxy file %s is no regular file", path)
	}
	return f, nil
}
