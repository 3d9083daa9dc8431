package gateway

import (
	"github.com/slipway-ml/slipway"
)

func unauthorized() *slipway.Error {
	return &slipway.Error{Code: slipway.CodeUnauthorized, Kind: slipway.Unauthorized,
		Message: "no valid token", Next: "send Authorization: Bearer TOKEN"}
}

func denied(message string) *slipway.Error {
	return &slipway.Error{Code: slipway.CodeDenied, Kind: slipway.Denied, Message: message, Next: "ask the team that owns it for a role or a token that allows it"}
}

func unknownEndpoint(key string) *slipway.Error {
	return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform status lists the endpoints", "no endpoint %.127q", key)
}

func unknownVersion(key string) *slipway.Error {
	return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "leave the version out, or name one that the endpoint's metadata list", "%s does not serve that version", key)
}

func unknownPath() *slipway.Error {
	return &slipway.Error{Code: slipway.CodeNotFound, Kind: slipway.NotFound, Message: "no such path",
		Next: "POST to /v2/models/ENDPOINT/infer or /endpoints/ENDPOINT/invocations"}
}

func onlyPassed(key string) *slipway.Error {
	return &slipway.Error{Code: slipway.CodeNotPassed, Kind: slipway.NotFound, Message: "the server of " + key + " has a protocol of its own",
		Next: "ask below /endpoints/" + key + "/proxy/"}
}

func pending(key, reason string) *slipway.Error {
	return &slipway.Error{Code: slipway.CodeNoReplica, Kind: slipway.Unavailable,
		Message: "the endpoint is not ready yet" + because(reason), Next: "platform status " + key}
}

func withdrawn(reason string) *slipway.Error {
	return &slipway.Error{Code: slipway.CodeWithdrawn, Kind: slipway.Unavailable,
		Message: "the endpoint was withdrawn" + because(reason), Next: "deploy a version that works"}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

func late(revision string, cause error) *slipway.Error {
	return &slipway.Error{Code: slipway.CodeDeadline, Kind: slipway.Unavailable,
		Message: revision + " did not answer before the deadline", Next: "try again, or allow more time", Cause: cause}
}

func modelFailed(revision string, cause error) *slipway.Error {
	return &slipway.Error{Code: slipway.CodeModelFailed, Kind: slipway.Internal,
		Message: revision + " failed", Next: "its owner finds the cause with: platform logs", Cause: cause}
}
