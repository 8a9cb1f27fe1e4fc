package client

import (
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// jsonFields lists the fields of a type as JSON has them, those of its parts
// too.
func jsonFields(typ reflect.Type, path string) []string {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || typ.PkgPath() == "time" {
		return []string{path + " " + typ.Kind().String()}
	}
	var fields []string
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && name != "-" && name != "version" && name != "identities" { // of "erase --all" only
			fields = append(fields, jsonFields(f.Type, path+"."+name)...)
		}
	}
	slices.Sort(fields)
	return fields
}

// TestAnswersInStep: nothing that the helper says is lost here. The types are
// written twice so that callers do not link a keyring.
func TestAnswersInStep(t *testing.T) {
	for _, pair := range [][2]any{
		{GetAnswer{}, helper.GetAnswer{}}, {StoreAnswer{}, helper.StoreAnswer{}}, {EraseAnswer{}, helper.EraseAnswer{}},
		{ListAnswer{}, helper.ListAnswer{}}, {CapabilitiesAnswer{}, helper.CapabilitiesAnswer{}}, {Error{}, helper.Error{}},
	} {
		ours, theirs := jsonFields(reflect.TypeOf(pair[0]), ""), jsonFields(reflect.TypeOf(pair[1]), "")
		if !slices.Equal(ours, theirs) {
			t.Errorf("%T has\n%s\n%T has\n%s", pair[0], strings.Join(ours, "\n"), pair[1], strings.Join(theirs, "\n"))
		}
	}
}

// TestCodesInStep: every code of the protocol has its constant, and no other.
func TestCodesInStep(t *testing.T) {
	read := func(file, pattern string, group int) (codes []string) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
			codes = append(codes, m[group])
		}
		slices.Sort(codes)
		return codes
	}
	const pattern = `(?m)^\tCode\w+ +Code = "([a-z_]+)"$`
	ours, theirs := read("error.go", pattern, 1), read("../error.go", pattern, 1)
	if len(ours) < 20 || !slices.Equal(ours, theirs) {
		t.Errorf("here   %q\nhelper %q", ours, theirs)
	}
	for _, code := range ours {
		if status := helper.Code(code).ExitStatus(); status == 1 && code != string(CodeInternal) {
			t.Errorf("the protocol has no code %s", code)
		}
	}
}

// TestLinksLittle: a caller that wants a proxy does not get a D-Bus client with
// it.
func TestLinksLittle(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/x509-credential-helper/x509-credential-helper/"
	if got := strings.Fields(string(out)); !slices.Equal(got, []string{module + "internal/secret", module + "helper/client"}) {
		t.Errorf("linked besides the standard library: %q", got)
	}
}
