package myproxy

import (
	"bufio"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

func infoOf(text string) ([]StoredCredential, error) {
	res, err := readResponse(bufio.NewReader(strings.NewReader(text)), false)
	if err != nil {
		return nil, err
	}
	return res.credentials()
}

// Names may hold "_" and the names of fields, and neither the order of the list
// nor that of the lines is fixed.
func TestInfo(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	all := "CRED_NAME=first\nCRED_DESC=a = b\nCRED_START_TIME=1\nCRED_END_TIME=2\nCRED_OWNER=/CN=x\nCRED_RETRIEVER=*\n" +
		"CRED_KEYRETRIEVERS=k\nCRED_RETRIEVER_TRUSTED=t\nCRED_RENEWER=r\nCRED_LOCKMSG=under review\n"
	first := StoredCredential{Name: "first", Description: "a = b", Start: at(1), End: at(2), Owner: "/CN=x", Retriever: "*",
		KeyRetrievers: "k", TrustedRetriever: "t", Renewer: "r", LockMessage: "under review"}
	for _, tc := range []struct {
		name, lines string
		want        []StoredCredential
		bad         bool
	}{
		{name: "all fields", lines: all, want: []StoredCredential{first}},
		{name: "nothing", lines: ""},
		{name: "no first, one other", lines: "CRED_a_OWNER=/CN=a\nADDL_CREDS=a\n", want: []StoredCredential{{Name: "a", Owner: "/CN=a"}}},
		{name: "without a name", lines: "CRED_OWNER=/CN=x\n", want: []StoredCredential{{Owner: "/CN=x"}}},
		{name: "the list comes first, in another order", lines: "ADDL_CREDS=c2,c1\nCRED_c1_OWNER=/CN=1\nCRED_OWNER=/CN=0\nCRED_c2_END_TIME=5\n",
			want: []StoredCredential{{Owner: "/CN=0"}, {Name: "c2", End: at(5)}, {Name: "c1", Owner: "/CN=1"}}},
		{name: "names with fields in them", lines: "CRED_OWNER=/CN=0\nCRED_a_DESC_DESC=1\nCRED_a_DESC=2\nCRED_START_OWNER=3\nCRED_RETRIEVER_OWNER=4\nADDL_CREDS=a,a_DESC,START,RETRIEVER\n",
			want: []StoredCredential{{Owner: "/CN=0"}, {Name: "a", Description: "2"}, {Name: "a_DESC", Description: "1"}, {Name: "START", Owner: "3"}, {Name: "RETRIEVER", Owner: "4"}}},
		{name: "a name twice on the list", lines: "CRED_a_OWNER=1\nADDL_CREDS=a,a\n", want: []StoredCredential{{Name: "a", Owner: "1"}}},
		{name: "unknown fields", lines: "CRED_OWNER=/CN=x\nCRED_COLOUR=blue\nCRED_b_OWNER=not on the list\nADDL_CREDS=,\n", want: []StoredCredential{{Owner: "/CN=x"}}},
		{name: "the end of the year 9999", lines: "CRED_END_TIME=253402300799\n", want: []StoredCredential{{End: at(253402300799)}}},
		{name: "later", lines: "CRED_END_TIME=253402300800\n", bad: true},
		{name: "before time began", lines: "CRED_END_TIME=-1\n", bad: true},
		{name: "no time", lines: "CRED_a_END_TIME=soon\nADDL_CREDS=a\n", bad: true},
		{name: "twice", lines: "CRED_OWNER=/CN=x\nCRED_OWNER=/CN=y\n", bad: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := infoOf(okHead + tc.lines + "\x00")
			var p *ProtocolError
			if tc.bad {
				if !errors.As(err, &p) {
					t.Errorf("got %+v, %v", got, err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %+v, %v, want %+v", got, err, tc.want)
			}
		})
	}
}

// Nothing stored and somebody else's are the same answer, and no error.
func TestInfoOfNothing(t *testing.T) {
	w := newWorld(t)
	for text, empty := range map[string]bool{
		`no credentials found for user jane, owner "/CN=x" `: true,
		`not authorized`: false,
	} {
		c := &Client{Hosts: []string{"localhost:1"}, Identity: identityOf(w.user("Alice"))}
		c.open = openOver(strings.NewReader("VERSION=MYPROXYv2\nRESPONSE=1\nERROR=" + text + "\n\x00"))
		got, err := c.Info(t.Context(), InfoRequest{Username: "jane"})
		if empty != (err == nil) || empty && (len(got.Credentials) > 0 || got.Server != "localhost:1") {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
}

// Every credential is on the list, or is the first.
func FuzzInfo(f *testing.F) {
	f.Add("CRED_OWNER=/CN=x\nCRED_a_b_OWNER=y\nADDL_CREDS=a_b")
	f.Add("CRED_NAME=first\nCRED_START_TIME=1\nCRED_END_TIME=x")
	f.Add("ADDL_CREDS=a,a,,b\nCRED_a_LOCKMSG=x")
	f.Fuzz(func(t *testing.T, lines string) {
		got, err := infoOf(okHead + lines + "\n\x00")
		var p *ProtocolError
		if err != nil {
			if !errors.As(err, &p) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		for i, c := range got {
			if i > 0 && (c.Name == "" || !strings.Contains(lines, "CRED_"+c.Name+"_")) || len(c.Owner) > len(lines) {
				t.Fatalf("%+v", c)
			}
			if c.Start.Unix() > maxTime || c.End.Unix() > maxTime {
				t.Fatalf("%+v", c)
			}
		}
	})
}
