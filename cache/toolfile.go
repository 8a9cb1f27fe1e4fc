package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/internal/safefile"
)

// ToolFileName names the plain file that tools read: the profile, a hyphen and
// eight hex digits of what was wished for. The same wish has the same path, so
// a running tool sees the renewed proxy.
func ToolFileName(profile, identity string, voms []string, limited bool, key string) string {
	wish := lengthPrefixed(profile, identity, string(lengthPrefixed(voms...)), fmt.Sprint(limited), key)
	sum := sha256.Sum256(wish)
	return profile + "-" + hex.EncodeToString(sum[:4]) + ".pem"
}

// toolFileProfile is the inverse of ToolFileName as far as there is one; ok
// says whether that can have made the name.
func toolFileProfile(name string) (profile string, ok bool) {
	stem, ok := strings.CutSuffix(name, ".pem")
	i := strings.LastIndexByte(stem, '-')
	if !ok || i < 1 || len(stem)-i != 9 {
		return "", false
	}
	_, err := hex.DecodeString(stem[i+1:])
	return stem[:i], err == nil && name[0] != '.' && !strings.ContainsAny(name, "/\\\x00")
}

func isToolFile(name string) bool { _, ok := toolFileProfile(name); return ok }

// WriteToolFile writes the plain file of that name, 0600 in a 0700 directory,
// and returns its path. It replaces the old one in one step, or leaves it if
// it is the same. Files of ours that expired more than an hour ago are removed.
func (c *Cache) WriteToolFile(name string, pem []byte) (string, error) {
	if !isToolFile(name) {
		return "", fmt.Errorf("%q is no name of a proxy file", name)
	}
	dir, err := c.toolFiles()
	if err != nil {
		return "", err
	}
	defer dir.Close()
	old, err := dir.Read(name, maxEntry)
	if isUnsafe(err) {
		return "", err
	}
	if err != nil || !bytes.Equal(old, pem) {
		if err := dir.Write(name, pem); err != nil {
			return "", err
		}
		c.sweepToolFiles(dir, name)
	}
	return filepath.Join(dir.Path(), name), nil
}

func (c *Cache) toolFiles() (*safefile.Dir, error) { return subDir(c.o.RuntimeDir, "proxy") }

// ToolFile returns the path of the plain file of that name, whether it exists
// or not.
func (c *Cache) ToolFile(name string) (string, error) {
	path, err := c.o.RuntimeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(path, "proxy", name), nil
}

// RemoveToolFile removes the plain file of that name. What is absent is no error.
func (c *Cache) RemoveToolFile(name string) error {
	dir, err := c.toolFiles()
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Remove(name)
}

// RemoveToolFiles removes all plain files of a profile.
func (c *Cache) RemoveToolFiles(profile string) error {
	dir, err := c.toolFiles()
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Names()
	for _, name := range names {
		if p, ok := toolFileProfile(name); ok && p == profile {
			err = errors.Join(err, dir.Remove(name))
		}
	}
	return err
}

// ToolFilesEnd returns when the last of a profile's plain files ends, or ended;
// zero if there is none. They outlive the entries that they were made of, so they
// know what has expired.
func (c *Cache) ToolFilesEnd(profile string) (last time.Time) {
	dir, err := c.toolFiles()
	if err != nil {
		return last
	}
	defer dir.Close()
	names, _ := dir.Names()
	for _, name := range names {
		if p, ok := toolFileProfile(name); !ok || p != profile {
			continue
		}
		data, err := dir.Read(name, maxEntry)
		if err != nil {
			continue
		}
		if end, err := leafNotAfter(data); err == nil && end.After(last) {
			last = end
		}
		clear(data)
	}
	return last
}

// clearToolFiles removes all plain files of ours.
func (c *Cache) clearToolFiles() error {
	dir, err := c.toolFiles()
	if err != nil {
		if isMissing(err) {
			return nil
		}
		return err
	}
	defer dir.Close()
	names, err := dir.Names()
	for _, name := range names {
		if isToolFile(name) {
			err = errors.Join(err, dir.Remove(name))
		}
	}
	return errors.Join(err, dir.RemoveTemps(farFuture))
}

func (c *Cache) sweepToolFiles(dir *safefile.Dir, keep string) {
	limit := c.o.Clock().Add(-time.Hour)
	_ = dir.RemoveTemps(limit)
	names, _ := dir.Names()
	for _, name := range names[:min(len(names), maxSwept)] {
		if name == keep || !isToolFile(name) {
			continue
		}
		data, err := dir.Read(name, maxEntry)
		if err != nil {
			continue
		}
		if end, err := leafNotAfter(data); err == nil && end.Before(limit) {
			_ = dir.Remove(name)
		}
	}
}
