package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/x509-credential-helper/x509-credential-helper/helper"
)

// notStarted says why a command was not started: what is in err and, before it,
// that the proxy has expired. That is what most failures of transfers are, and
// on root:// no tool says so. Code and hint are those of err.
func notStarted(h *helper.Helper, argv []string, err error) error {
	e := *helper.AsError(err)
	if e.Code == helper.CodeCancelled || e.Code == helper.CodeInternal {
		return err
	}
	why := e.Message
	if ended := h.Cache.ToolFilesEnd(e.Profile); !ended.IsZero() && ended.Before(h.Clock()) {
		why = "its proxy expired " + helper.Span(int64(h.Clock().Sub(ended)/time.Second)) + " ago, and there is no new one: " + why
	}
	e.Message = fmt.Sprintf("%q was not started: %s", filepath.Base(helper.CleanText(argv[0])), why)
	return &e
}
