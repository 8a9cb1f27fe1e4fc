package myproxy

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	// maxVOMSES bounds one vomses file; those of whole grids have 20 kB.
	maxVOMSES = 1 << 20
	// maxVOMSESFiles bounds how many files of a vomses directory are read.
	maxVOMSESFiles = 1024
)

// ParseVOMSES reads one line of a vomses file: five or six quoted fields,
// "alias" "host" "port" "subject of the server" "VO". It returns the fields.
func ParseVOMSES(line string) ([]string, error) {
	if strings.ContainsAny(line, "\r\n") {
		return nil, checkValue(fieldVOMSES, line)
	}
	var fields []string
	rest := strings.Trim(line, " \t")
	for rest != "" {
		after, ok := strings.CutPrefix(rest, `"`)
		field, next, closed := strings.Cut(after, `"`)
		if !ok || !closed {
			return nil, errVOMSES
		}
		fields = append(fields, field)
		rest = strings.TrimLeft(next, " \t")
	}
	if len(fields) != 5 && len(fields) != 6 {
		return nil, errVOMSES
	}
	if err := checkValue(fieldVOMSES, joinVOMSES(fields)); err != nil {
		return nil, err
	}
	return fields, nil
}

var errVOMSES = errors.New(`a vomses line has five quoted fields: "alias" "host" "port" "subject of the server" "VO"`)

// joinVOMSES writes a line as the C client sends it.
func joinVOMSES(fields []string) string { return `"` + strings.Join(fields, `" "`) + `"` }

// FindVOMSES returns the lines for VOs ("vo" or "vo:/vo/group/Role=x") from where
// VOMS clients look: VOMS_USERCONF, ~/.glite/vomses, /etc/vomses.
func FindVOMSES(vos []string, getenv func(string) string, home string) []string {
	var names []string
	for _, vo := range vos {
		name, _, _ := strings.Cut(vo, ":")
		names = append(names, name)
	}
	b := New(Options{Getenv: getenv, Home: home}).(*backend)
	return findVOMSES(names, b.vomsesPlaces())
}

// findVOMSES returns the lines for each of the VOs from the first of the places
// (files, or directories of files) that has any for it. The C client sends every
// line of VOMS_USERCONF; a message holds only so many. Files that are absent or
// cannot be read are passed by: many sites have none, and then the server uses
// its own.
func findVOMSES(vos, places []string) []string {
	var found []string
	read := make([][][]string, len(places)) // lines of fields, per place
	for _, vo := range vos {
		for i, place := range places {
			if read[i] == nil {
				read[i] = append(readVOMSES(place), []string{})
			}
			lines := linesFor(vo, read[i])
			for _, line := range lines {
				if !slices.Contains(found, line) {
					found = append(found, line)
				}
			}
			if len(lines) > 0 {
				break
			}
		}
	}
	return found
}

// linesFor picks the lines whose alias or VO is vo.
func linesFor(vo string, all [][]string) []string {
	var lines []string
	for _, f := range all {
		if len(f) >= 5 && (f[0] == vo || f[4] == vo) {
			lines = append(lines, joinVOMSES(f))
		}
	}
	return lines
}

// readVOMSES reads a vomses file, or the files of a vomses directory in the
// order of their names.
func readVOMSES(path string) [][]string {
	f, info, err := openVOMSES(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	if !info.IsDir() {
		return parseVOMSES(f, info)
	}
	names, _ := f.Readdirnames(maxVOMSESFiles)
	slices.Sort(names)
	var all [][]string
	for _, name := range names {
		if strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") {
			continue
		}
		if g, info, err := openVOMSES(filepath.Join(path, name)); err == nil {
			all = append(all, parseVOMSES(g, info)...)
			_ = g.Close()
		}
	}
	return all
}

// openVOMSES opens once and looks at what was opened; a pipe in its place does
// not hold us up.
func openVOMSES(path string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// parseVOMSES reads the lines of a file. Comments and lines that could not be
// sent are passed by, as the C client does.
func parseVOMSES(f io.Reader, info fs.FileInfo) [][]string {
	if !info.Mode().IsRegular() {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(f, maxVOMSES+1))
	if err != nil || len(data) > maxVOMSES {
		return nil
	}
	var all [][]string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\r\n")
		if fields, err := ParseVOMSES(line); err == nil {
			all = append(all, fields)
		}
	}
	return all
}
