package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// product is the source of the program and its libraries, without tests and
// without the servers that they and the sandbox run.
func product(t *testing.T) string {
	t.Helper()
	root, files := filepath.Join("..", ".."), 0
	var all strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "build", "internal/lab", "internal/sandbox", "internal/vectors", "internal/term/ptytest"}, filepath.ToSlash(name)):
			return fs.SkipDir
		case d.IsDir(), !strings.HasSuffix(path, ".go"), strings.HasSuffix(path, "_test.go"):
			return nil
		}
		files++
		all.WriteString(text(t, path))
		return nil
	})
	if err != nil || files < 100 {
		t.Fatalf("%d files, %v", files, err)
	}
	return all.String()
}

// found is what a pattern's group matches in a text.
func found(pattern, text string) (list []string) {
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		list = append(list, m[1])
	}
	return list
}

// firstCells are the words in backquotes in the first column of tables.
func firstCells(text string) (words []string) {
	for _, cell := range found("(?m)^\\| (`[^|]*) \\|", text) {
		words = append(words, found("`([^`]+)`", cell)...)
	}
	return words
}

// document is a page of docs.
func document(t *testing.T, name string) string {
	return text(t, filepath.Join("..", "..", "docs", name))
}

func text(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// same compares what a page says with what the code does, which is at least so
// many things.
func same(t *testing.T, least int, said, done []string) {
	t.Helper()
	slices.Sort(done)
	if done = slices.Compact(done); len(done) < least {
		t.Fatalf("found only %q in the code", done)
	}
	for _, s := range said {
		if !slices.Contains(done, s) {
			t.Errorf("%s is documented and not in the code", s)
		}
	}
	for _, s := range done {
		if !slices.Contains(said, s) {
			t.Errorf("%s is in the code and not documented", s)
		}
	}
}

// TestProtocolCodes holds the table of codes in docs/protocol.md against the
// constants and their exit statuses.
func TestProtocolCodes(t *testing.T) {
	var said, done []string
	for _, row := range found(`(?m)^\| ([0-9]+ \| [^|]*) \|`, document(t, "protocol.md")) {
		status, codes, _ := strings.Cut(row, " | ")
		for _, code := range found("`([^`]+)`", codes) {
			said = append(said, code+" "+status)
		}
	}
	for _, code := range found(`(?m)^\tCode\w+ +Code = "([a-z_]+)"`, product(t)) {
		done = append(done, code+" "+strconv.Itoa(helper.Code(code).ExitStatus()))
	}
	same(t, 25, said, done)
}

// TestProtocolWarnings holds the table of warnings in docs/protocol.md against
// the code.
func TestProtocolWarnings(t *testing.T) {
	_, table, _ := strings.Cut(document(t, "protocol.md"), "| warning | meaning |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	same(t, 15, firstCells(table), found(`(?:Warning\{|\{Code: |\bwarn\()"([a-z_]+)"`, product(t)))
}

// TestEnvironmentPage: docs/environment.md promises every variable that is
// looked at.
func TestEnvironmentPage(t *testing.T) {
	// Go's libraries look at these.
	done := []string{"HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"}
	// MyProxy's fields and keywords look alike; the last one is only removed for
	// tools.
	others := []string{"ADDL_CREDS", "AUTHORIZATION_DATA", "CRED_DESC", "CRED_NAME", "END_TIME", "NEW_PHRASE", "RETRIEVER_TRUSTED",
		"START_TIME", "TRUSTED_CERTS", "RUCIO_CLIENT_PROXY"}
	for _, s := range found(`"(_?[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|HOME|USERPROFILE|LOCALAPPDATA|TMPDIR|LOGNAME|USER|PATH|DISPLAY|TERM|LANG)"`, product(t)) {
		if !slices.Contains(others, s) {
			done = append(done, s)
		}
	}
	same(t, 40, firstCells(document(t, "environment.md")), done)
}

// TestLinks: what one page says of another is there.
func TestLinks(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join("..", "..", "docs", "*.md"))
	if err != nil || len(pages) < 10 {
		t.Fatal(pages, err)
	}
	for _, page := range append(pages, filepath.Join("..", "..", "README.md")) {
		for _, link := range found(`\]\(([^)]+)\)`, text(t, page)) {
			if strings.Contains(link, "://") {
				continue
			}
			file, heading, _ := strings.Cut(link, "#")
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), filepath.FromSlash(file))
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %v", page, err)
			} else if heading != "" && !slices.Contains(headings(t, target), heading) {
				t.Errorf("%s: %s has no heading for %s", page, target, link)
			}
		}
	}
}

// headings are those of a page as links name them.
func headings(t *testing.T, path string) (list []string) {
	t.Helper()
	for _, h := range found(`(?m)^#+ (.*)$`, text(t, path)) {
		h = regexp.MustCompile(`[^\pL\pN_ -]`).ReplaceAllString(strings.ToLower(h), "")
		list = append(list, strings.ReplaceAll(h, " ", "-"))
	}
	return list
}
