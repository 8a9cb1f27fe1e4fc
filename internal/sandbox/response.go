package sandbox

import (
	"encoding/base64"
	"strings"
)

// okResponse is the answer that a step succeeded; roots are files of the trust
// directory to send along, in this order, or nil.
func okResponse(roots []rootFile) []byte {
	var b strings.Builder
	b.WriteString("VERSION=MYPROXYv2\nRESPONSE=0\n")
	if len(roots) > 0 {
		names := make([]string, len(roots))
		for i, r := range roots {
			names[i] = r.name
		}
		b.WriteString("TRUSTED_CERTS=" + strings.Join(names, ",") + "\n")
		for _, r := range roots {
			b.WriteString("FILEDATA_" + r.name + "=" + base64.StdEncoding.EncodeToString(r.data) + "\n")
		}
	}
	b.WriteByte(0)
	return []byte(b.String())
}

// errorResponse is a refusal. Each line of text becomes an ERROR line; a line
// feed at its end makes no empty one.
func errorResponse(text string) []byte {
	var b strings.Builder
	b.WriteString("VERSION=MYPROXYv2\nRESPONSE=1\n")
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		b.WriteString("ERROR=" + line + "\n")
	}
	b.WriteByte(0)
	return []byte(b.String())
}
