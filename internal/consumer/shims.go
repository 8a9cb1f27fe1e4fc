package consumer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// shimTarget is where the link of a shim points: to a link of this name beside
// it, which points to this program. So what a shim is needs no list that could
// be wrong: gfal-copy -> .x509-credential-helper is one, and a link that
// somebody else made to this program is none.
const shimTarget = ".x509-credential-helper"

// InstallShims makes dir and in it a link for each tool. Nothing is changed if
// one of them is there already and is no shim.
func InstallShims(dir, program string, tools []string) error {
	// Compiled here: among the package's variables it was a tenth of every start.
	toolName := regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$`)
	for _, tool := range tools {
		if !toolName.MatchString(tool) {
			return fmt.Errorf("%q is no name of a tool; give it as it is typed, as in gfal-copy", tool)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the directory of the shims: %w", err)
	}
	if err := onlyOurs(dir); err != nil {
		return err
	}
	for _, tool := range append([]string{shimTarget}, tools...) {
		if err := mayLink(filepath.Join(dir, tool), tool == shimTarget); err != nil {
			return err
		}
	}
	if err := pointTo(dir, program); err != nil {
		return err
	}
	for _, tool := range tools {
		path := filepath.Join(dir, tool)
		err := os.Symlink(shimTarget, path)
		if err != nil && !(errors.Is(err, fs.ErrExist) && isShim(path)) {
			return fmt.Errorf("make the shim %s: %w", tool, err)
		}
	}
	return nil
}

// mayLink refuses what somebody else has put there.
func mayLink(path string, anyLink bool) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), isShim(path):
		return nil
	case err != nil:
		return fmt.Errorf("look at what is there already: %w", err)
	case anyLink && info.Mode()&fs.ModeSymlink != 0:
		return nil
	}
	return fmt.Errorf("%s is there already and is no shim; nothing was changed: remove it, or take another directory", path)
}

// pointTo lets the shims of a directory lead to this program, also where they
// led to one that has moved.
func pointTo(dir, program string) error {
	path := filepath.Join(dir, shimTarget)
	if target, err := os.Readlink(path); err == nil && target == program {
		return nil
	}
	fresh := path + ".new"
	if isLink(fresh) {
		_ = os.Remove(fresh) // of a run that was cut short
	}
	err := os.Symlink(program, fresh)
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return fmt.Errorf("link the shims to this program: %w", err)
	}
	return nil
}

// Shims lists the tools that have a shim in dir.
func Shims(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list the shims: %w", err)
	}
	var tools []string
	for _, e := range entries {
		if isShim(filepath.Join(dir, e.Name())) {
			tools = append(tools, e.Name())
		}
	}
	return tools, nil
}

// RemoveShims removes the shims of these tools, or all. What is no shim stays;
// if a tool is named that has none, nothing is removed.
func RemoveShims(dir string, tools []string) (removed []string, err error) {
	all, err := Shims(dir)
	if err != nil {
		return nil, err
	}
	for _, tool := range tools {
		if !slices.Contains(all, tool) {
			return nil, fmt.Errorf("there is no shim %q in %s; nothing was removed", tool, dir)
		}
	}
	if len(tools) == 0 {
		tools = all
	}
	for _, tool := range tools {
		if err := os.Remove(filepath.Join(dir, tool)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return removed, fmt.Errorf("remove a shim: %w", err)
		}
		removed = append(removed, tool)
	}
	if left, err := Shims(dir); err == nil && len(left) == 0 && isLink(filepath.Join(dir, shimTarget)) {
		_ = os.Remove(filepath.Join(dir, shimTarget)) // it leads from nowhere now
	}
	return removed, nil
}

func isShim(path string) bool {
	target, err := os.Readlink(path)
	return err == nil && target == shimTarget
}

func isLink(path string) bool {
	_, err := os.Readlink(path)
	return err == nil
}
