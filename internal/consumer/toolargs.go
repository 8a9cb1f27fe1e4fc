package consumer

import (
	"slices"
	"strings"
)

// curlValues are the letters of curl's options that take a value (curl(1) 7.88).
const curlValues = "AbcCdDeEFhHKmoPQrtTuUwxXyYz"

// curlURLValues are long options of curl whose value may be a URL that it does
// not fetch.
var curlURLValues = []string{
	"--referer", "--proxy", "--preproxy", "--doh-url", "--json", "--header", "--cookie", "--user-agent",
	"--data", "--data-ascii", "--data-binary", "--data-raw", "--data-urlencode", "--form", "--form-string",
	"--cert", "--key", "--capath", "--cacert",
}

// curlWords calls f for each word of a curl command that is no option's value:
// options, and what is to be fetched. The value of --url is such a word.
func curlWords(argv []string, f func(i int, word string)) {
	words := false // "--" ended the options
	for i := 1; i < len(argv); i++ {
		word := argv[i]
		f(i, word)
		switch {
		case words || len(word) < 2 || word[0] != '-':
		case word == "--":
			words = true
		case strings.HasPrefix(word, "--"):
			if slices.Contains(curlURLValues, word) {
				i++
			}
		case curlLetter(word) == len(word)-1:
			i++
		}
	}
}

// curlLetter is where the letter stands that takes a value, or -1. Letters may
// stand together; the first that takes a value has what follows it, or the next
// word.
func curlLetter(word string) int {
	if len(word) < 2 || word[0] != '-' || word[1] == '-' {
		return -1
	}
	if at := strings.IndexAny(word[1:], curlValues); at >= 0 {
		return at + 1
	}
	return -1
}

func curlURLs(argv []string) []int {
	var list []int
	curlWords(argv, func(i int, word string) {
		if scheme(word) != "" {
			list = append(list, i)
		}
	})
	return list
}

// adaptCurl names the proxy and the trust anchors: curl knows no X509_ variable.
func adaptCurl(argv []string, p Proxy) []string {
	var set []string
	own := map[string]bool{}
	var next []int // where another transfer begins, which inherits no option
	curlWords(argv, func(i int, word string) {
		at := curlLetter(word)
		switch {
		case word == "--next", word == "-:":
			next = append(next, i)
		case at > 0 && word[at] == 'E':
			own["--cert"] = true
		default:
			own[word] = true
		}
	})
	if !own["--cert"] && !own["--key"] {
		set = append(set, "--cert", curlName(p.File), "--key", p.File)
	}
	if p.Anchors != "" && !own["--capath"] && !own["--cacert"] {
		set = append(set, "--capath", p.Anchors)
	}
	adapted := []string{argv[0]}
	if len(argv) > 1 && ignoresCurlrc(argv[1]) {
		adapted = append(adapted, "-q")
	}
	adapted = append(adapted, set...)
	from := 1
	for _, i := range next {
		adapted = append(append(adapted, argv[from:i+1]...), set...)
		from = i + 1
	}
	return append(adapted, argv[from:]...)
}

// ignoresCurlrc says whether curl leaves ~/.curlrc alone for this first word; for
// another one than the first it does not.
func ignoresCurlrc(word string) bool {
	if strings.HasPrefix(word, "--") {
		return word == "--disable"
	}
	return strings.HasPrefix(word, "-") && strings.Contains(word, "q")
}

// curlName writes a file name for --cert, where a colon begins a pass phrase.
func curlName(file string) string {
	return strings.NewReplacer(`\`, `\\`, ":", `\:`).Replace(file)
}

// davixURLs leaves out a proxy server.
func davixURLs(argv []string) []int {
	return slices.DeleteFunc(allURLs(argv), func(i int) bool { return argv[i-1] == "--proxy" || argv[i-1] == "-x" })
}

// adaptDavix turns on its grid module: without it, davix 0.8.4 does not look at
// X509_CERT_DIR (measured: "issuer is not trusted").
func adaptDavix(argv []string, _ Proxy) []string {
	for _, word := range argv[1:] {
		if strings.HasPrefix(word, "-P") || strings.HasPrefix(word, "-E") || word == "--module" || word == "--cert" {
			return slices.Clone(argv)
		}
	}
	return slices.Concat(argv[:1], []string{"-P", "grid"}, argv[1:])
}

// xrdfsURLs finds the server: the first word that is no option. It may be a host
// alone.
func xrdfsURLs(argv []string) []int {
	for i, word := range argv[1:] {
		if !strings.HasPrefix(word, "-") {
			return []int{i + 1}
		}
	}
	return nil
}
