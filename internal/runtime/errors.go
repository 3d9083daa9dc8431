package runtime

import (
	"context"
	"errors"

	"github.com/slipway-ml/slipway"
)

func noReplica(cause error) *slipway.Error {
	return &slipway.Error{Code: slipway.CodeNoReplica, Kind: slipway.Unavailable,
		Message: "the replica cannot be reached", Next: "try again", Cause: cause}
}

func notHosted(revision string) *slipway.Error {
	return slipway.Errorf(slipway.Unavailable, slipway.CodeNoReplica, "try again", "%s is not hosted here", revision)
}

func overloaded() *slipway.Error {
	return &slipway.Error{Code: slipway.CodeNoReplica, Kind: slipway.Exhausted,
		Message: "the replica has too many requests waiting", Next: "try again later, or add replicas"}
}

func draining() *slipway.Error {
	return &slipway.Error{Code: slipway.CodeNoReplica, Kind: slipway.Unavailable,
		Message: "the replica is stopping", Next: "try again"}
}

func tooLarge(what string) *slipway.Error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeTooLarge, "send fewer rows at once",
		"%s is larger than %d MiB", what, maxFrame>>20)
}

func modelFailed(message string, cause error) *slipway.Error {
	return &slipway.Error{Code: slipway.CodeModelFailed, Kind: slipway.Internal,
		Message: message, Next: "see the replica's log", Cause: cause}
}

// late is the error of a request whose context ended, whether by its deadline or because
// the caller left.
func late(cause error) *slipway.Error {
	message := "the deadline passed before the model answered"
	if errors.Is(cause, context.Canceled) {
		message = "the request was cancelled"
	}
	return &slipway.Error{Code: slipway.CodeDeadline, Kind: slipway.Unavailable,
		Message: message, Next: "try again, or allow more time", Cause: cause}
}
