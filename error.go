package slipway

import (
	"errors"
	"fmt"
	"time"
)

// Kind is the class of an error; one place maps it to a status or an exit code.
type Kind int

// The kinds. The zero value is Internal: what nobody classified is our fault.
const (
	Internal      Kind = iota
	Invalid            // the input is wrong
	NotFound           // no such thing
	Conflict           // the state forbids it
	Denied             // not allowed for this principal
	Unauthorized       // no valid principal
	Exhausted          // a limit was reached
	Unavailable        // try again later
	Unprocessable      // well formed, but does not fit the schema
)

// Error is the one error type: a code for programs, a message and a next step for
// people, a cause for the log. Message and Next never carry payload values or secrets.
type Error struct {
	Code    string // stable, "SLIP-E0101"; `platform explain CODE` resolves it
	Kind    Kind
	Message string // what happened, and where
	Next    string // what to do: one exact step
	Field   string // path of the offending field, when there is one
	Cause   error  // for the log only
	// Retry is after which time trying again may help, when something limits how often.
	Retry time.Duration
}

// What is the place, when there is one, and the message.
func (e *Error) What() string {
	if e.Field != "" {
		return e.Field + ": " + e.Message
	}
	return e.Message
}

// Error prints what happened and, when there is one, the next step.
func (e *Error) Error() string {
	s := e.What()
	if e.Next != "" {
		s += "; " + e.Next
	}
	return s
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is matches errors of the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// AsError finds the Error in a chain; anything else becomes Internal with the chain as
// its cause, so that internals never reach a person.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: CodeInternal, Kind: Internal, Message: "internal error", Next: "see the server log for the request id", Cause: err}
}

// Errorf makes an Error whose message is formatted.
func Errorf(kind Kind, code, next, format string, args ...any) *Error {
	return &Error{Code: code, Kind: kind, Message: fmt.Sprintf(format, args...), Next: next}
}
