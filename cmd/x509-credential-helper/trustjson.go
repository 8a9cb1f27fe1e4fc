package main

import (
	"math"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/gsi"
	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// trustAnswer is docs/schema/trust.json.
type trustAnswer struct {
	Version   int          `json:"version"`
	Directory string       `json:"directory"`
	Good      bool         `json:"good"` // the exit status of check would be 0
	Total     int          `json:"total"`
	Anchors   []jsonAnchor `json:"anchors"` // those with problems only, for check
}

type jsonAnchor struct {
	Severity   string              `json:"severity"`
	Alias      string              `json:"alias,omitempty"`
	Subject    string              `json:"subject,omitempty"`
	Hash       string              `json:"hash,omitempty"`
	OldHash    string              `json:"old_hash,omitempty"`
	File       string              `json:"file"`
	Files      []string            `json:"files"`
	Root       bool                `json:"root"`
	Key        string              `json:"key,omitempty"`
	NotBefore  string              `json:"not_before,omitempty"`
	NotAfter   string              `json:"not_after,omitempty"`
	ExpiresIn  *int64              `json:"expires_in,omitempty"`
	Until      string              `json:"until,omitempty"`
	Policy     string              `json:"policy,omitempty"`
	PolicyFile string              `json:"policy_file,omitempty"`
	CRLs       []jsonCRL           `json:"crls"`
	Problems   []jsonAnchorProblem `json:"problems"`
}

type jsonCRL struct {
	File       string `json:"file"`
	ThisUpdate string `json:"this_update,omitempty"`
	NextUpdate string `json:"next_update,omitempty"`
	Age        *int64 `json:"age,omitempty"`        // seconds since this_update
	ExpiresIn  *int64 `json:"expires_in,omitempty"` // seconds until next_update
	Entries    int    `json:"entries"`
	Fault      string `json:"fault,omitempty"`
}

type jsonAnchorProblem struct {
	Severity string `json:"severity"`
	Code     string `json:"code"`
	File     string `json:"file,omitempty"`
	Message  string `json:"message"`
}

func trustJSON(dir string, anchors []gsi.Anchor, now time.Time, check bool) *trustAnswer {
	answer := &trustAnswer{Version: helper.Version, Directory: clean(dir), Good: true, Total: len(anchors), Anchors: []jsonAnchor{}}
	for _, a := range anchors {
		bad := a.Severity != gsi.SeverityOK
		answer.Good = answer.Good && !bad
		if bad || !check {
			answer.Anchors = append(answer.Anchors, anchorJSON(a, now))
		}
	}
	return answer
}

func anchorJSON(a gsi.Anchor, now time.Time) jsonAnchor {
	j := jsonAnchor{
		Severity: a.Severity.String(), Alias: a.Alias, Subject: a.Subject, Hash: a.Hash, OldHash: a.OldHash,
		File: a.File, Files: append([]string{}, a.Files...), Root: a.Root, Key: a.KeyText,
		NotBefore: stampOrNone(a.NotBefore), NotAfter: stampOrNone(a.NotAfter), ExpiresIn: secondsTo(a.NotAfter, now), Until: stampOrNone(a.Until),
		Policy: a.Policy, PolicyFile: a.PolicyFile, CRLs: []jsonCRL{}, Problems: []jsonAnchorProblem{},
	}
	for _, crl := range a.CRLs {
		c := jsonCRL{
			File: crl.File, ThisUpdate: stampOrNone(crl.ThisUpdate), NextUpdate: stampOrNone(crl.NextUpdate),
			ExpiresIn: secondsTo(crl.NextUpdate, now), Entries: crl.Entries, Fault: string(crl.Fault),
		}
		if since := secondsTo(crl.ThisUpdate, now); since != nil {
			age := -*since
			c.Age = &age
		}
		j.CRLs = append(j.CRLs, c)
	}
	for _, p := range a.Problems {
		j.Problems = append(j.Problems, jsonAnchorProblem{p.Severity.String(), string(p.Reason), p.File, clean(p.Detail)})
	}
	return j
}

func stampOrNone(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return stamp(t)
}

// secondsTo is the number of whole seconds until a time, nil for no time.
func secondsTo(t, now time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	n := int64(math.Floor(t.Sub(now).Seconds()))
	return &n
}
