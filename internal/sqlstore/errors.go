package sqlstore

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/slipway-ml/slipway"
)

// classify gives an error of the database its place among ours.
func classify(err error) error {
	if err == nil || errors.As(err, new(*slipway.Error)) || errors.Is(err, context.Canceled) {
		return err
	}
	e := &slipway.Error{Code: slipway.CodeInternal, Kind: slipway.Internal, Message: "the database failed", Next: "see the server's log", Cause: err}
	switch failure := failureOf(err); {
	case failure == diskFull:
		e.Code, e.Kind, e.Message, e.Next = slipway.CodeDiskFull, slipway.Exhausted,
			"the disk of the database is full; nothing was changed", "free space on it, then try again"
	case failure == taken:
		e.Code, e.Kind, e.Message, e.Next = slipway.CodeConflict, slipway.Conflict, "it is there already", "use it, or choose another name"
	case failure == dangling:
		e.Code, e.Kind, e.Message, e.Next = slipway.CodeConflict, slipway.Conflict, "it refers to something that is not there", "make that first"
	case failure == busy || errors.Is(err, context.DeadlineExceeded):
		e.Code, e.Kind, e.Message, e.Next = slipway.CodeUnavailable, slipway.Unavailable, "the database does not answer in time", "try again in a second"
	}
	return e
}

// storable answers Invalid for text that not every database can keep.
func storable(args []any) error {
	for _, a := range args {
		if s, ok := a.(string); ok && (!utf8.ValidString(s) || strings.ContainsRune(s, 0)) {
			return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "send text in UTF-8 without NUL", "a text is not valid UTF-8, or contains NUL")
		}
	}
	return nil
}
