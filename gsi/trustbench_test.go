package gsi

import "testing"

// BenchmarkAnchors is the IGTF's directory with everything that is in it read
// and judged, as for a table.
func BenchmarkAnchors(b *testing.B) {
	openIGTF(b)
	for b.Loop() {
		dir, err := OpenTrustDir(igtfDir)
		if err != nil {
			b.Fatal(err)
		}
		if len(dir.Anchors(igtfTime, TrustOptions{})) < 80 {
			b.Fatal("CAs are missing")
		}
	}
}
