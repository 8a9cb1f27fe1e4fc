package consumer

import (
	"path/filepath"
	"slices"
	"strings"
)

// tool is what has to be known of a program that does not go by X509_USER_PROXY
// and its arguments alone.
type tool struct {
	// adapt adds the options that make it use the proxy.
	adapt func(argv []string, p Proxy) []string
	// urls finds the positions of the URLs it goes to; nil: of all words that
	// are URLs.
	urls func(argv []string) []int
	// inURL says whether it takes the path of a proxy in a root:// URL, so that
	// two URLs can have two. gfal2 2.21.3 replaces what is there by that of
	// X509_USER_PROXY (measured).
	inURL bool
}

// toolNamed knows a program by its file's name. All programs of davix are alike.
func toolNamed(name string) tool {
	switch name = filepath.Base(name); {
	case name == "curl":
		return tool{adapt: adaptCurl, urls: curlURLs}
	case name == "davix", strings.HasPrefix(name, "davix-"):
		return tool{adapt: adaptDavix, urls: davixURLs}
	case name == "xrdcp", name == "xrdcopy":
		return tool{inURL: true}
	case name == "xrdfs":
		return tool{urls: xrdfsURLs}
	}
	return tool{}
}

// Adapt returns the command line with which a tool uses the proxy, beside the
// environment of Environ. What the user says is never replaced: where one of the
// options is there already, it stays as it is. argv is not changed.
func Adapt(name string, argv []string, p Proxy) []string {
	if t := toolNamed(name); t.adapt != nil && len(argv) > 0 {
		return t.adapt(argv, p)
	}
	return slices.Clone(argv)
}

// URLs returns the URLs that a command goes to and that may need a proxy. A
// command that has none works with files of this machine, or is told elsewhere
// where to go.
func URLs(argv []string) []string {
	var list []string
	for _, u := range locate(argv) {
		list = append(list, u.text)
	}
	return list
}

// located is a URL and its place in the command line.
type located struct {
	text  string
	index int
}

// locate finds the URLs of a command.
func locate(argv []string) []located {
	if len(argv) == 0 {
		return nil
	}
	find := toolNamed(argv[0]).urls
	if find == nil {
		find = allURLs
	}
	var list []located
	for _, i := range find(argv) {
		text := argv[i]
		if scheme(text) == "" { // only xrdfs has these
			text = "root://" + text
		}
		if s := scheme(text); s != "file" && !hasOwnProxy(text) {
			list = append(list, located{text, i})
		}
	}
	return list
}

// allURLs are the positions of all words that are URLs.
func allURLs(argv []string) []int {
	var list []int
	for i, word := range argv[1:] {
		if scheme(word) != "" {
			list = append(list, i+1)
		}
	}
	return list
}

// scheme is that of a URL, in lower case, or "" for a word that is none.
func scheme(word string) string {
	s, _, ok := strings.Cut(word, "://")
	if !ok || s == "" {
		return ""
	}
	for i, c := range []byte(s) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || strings.IndexByte("+-.", c) >= 0)) {
			return ""
		}
	}
	return strings.ToLower(s)
}

// isXRootD says whether the XRootD client opens a URL.
func isXRootD(url string) bool {
	return slices.Contains([]string{"root", "xroot", "roots", "xroots"}, scheme(url))
}

// hasOwnProxy says whether a URL brings its own credentials.
func hasOwnProxy(url string) bool {
	if !isXRootD(url) {
		return false
	}
	_, query, _ := strings.Cut(url, "?")
	for parameter := range strings.SplitSeq(query, "&") {
		switch name, _, _ := strings.Cut(parameter, "="); name {
		case "xrd.gsiusrpxy", "xrd.gsiusrcrt":
			return true
		}
	}
	return false
}
