package transfer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/slipway-ml/slipway"
)

// passing tells errors that may go away by themselves. A registry that cannot be reached is
// none of them: each request would wait for it again.
func passing(err error) bool {
	var answer *transport.Error
	var network net.Error
	switch {
	case err == nil || errors.As(err, new(*slipway.Error)) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.As(err, &answer):
		c := answer.StatusCode
		return c >= 500 && c != http.StatusNotImplemented || c == http.StatusRequestTimeout || c == http.StatusTooManyRequests
	case errors.As(err, &network) && network.Timeout():
		return true
	}
	for _, e := range []error{errStalled, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// explain says what a registry's error means and what to do.
func (s *Session) explain(err error) error {
	var e *slipway.Error
	if errors.As(err, &e) {
		return e
	}
	registry := s.Registry()
	e = &slipway.Error{Code: slipway.CodeUnavailable, Kind: slipway.Unavailable, Next: "try again later; what was transferred is not transferred again", Cause: private(err)}
	var answer *transport.Error
	var dns *net.DNSError
	switch {
	case errors.As(err, &answer):
		s.refused(e, answer)
	case isCertificate(err):
		e.Kind, e.Message, e.Next = slipway.Invalid, "the certificate of the registry "+registry+" is not trusted", "add its authority to the certificates of this machine"
	case errors.As(err, &dns):
		e.Message, e.Next = "the registry "+registry+" cannot be reached: no such host", "check its name, and the network of this machine"
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Message, e.Next = "the registry "+registry+" cannot be reached: nothing listens there", "check its name and port, and that it runs"
	case errors.Is(err, errStalled):
		e.Message = "the registry " + registry + " stopped in the middle of the transfer"
	case errors.Is(err, errPlain): // which is beside the others, too, as TLS is tried first
		e.Code, e.Kind = slipway.CodeNeedTLS, slipway.Invalid
		e.Message, e.Next = "the registry "+registry+" leads to a connection without TLS", "give it a certificate; plain HTTP is for a registry on this machine, if it is asked for"
	default:
		e.Message = "the registry " + registry + " broke off the transfer"
	}
	return e
}

// refused maps the answer of a registry.
func (s *Session) refused(e *slipway.Error, answer *transport.Error) {
	registry, repo := s.Registry(), s.Ref.Context().Name()
	says := fmt.Sprintf("the registry %s answers with status %d", registry, answer.StatusCode)
	switch answer.StatusCode {
	case http.StatusUnauthorized:
		e.Code, e.Kind, e.Message = slipway.CodeDenied, slipway.Denied, "the registry "+registry+" wants credentials, or others, for "+repo
		e.Next = "docker login " + registry + ", as the user that runs this"
	case http.StatusForbidden:
		e.Code, e.Kind, e.Message = slipway.CodeDenied, slipway.Denied, "the registry "+registry+" does not allow this for "+repo
		e.Next = "ask its owner for access, then: docker login " + registry
	case http.StatusNotFound:
		e.Code, e.Kind, e.Message, e.Next = slipway.CodeNotFound, slipway.NotFound, "the registry "+registry+" has no "+s.Ref.Name(), "check the name"
	case http.StatusRequestEntityTooLarge:
		e.Code, e.Kind, e.Message, e.Next = slipway.CodeTooLarge, slipway.Invalid, says+": the image is too large for it", "raise the limit of the registry, or of the proxy before it"
	case http.StatusTooManyRequests:
		e.Message, e.Next = says+": too many requests", "try again later, or log in: docker login "+registry
	default:
		e.Message = says
		if answer.StatusCode < 500 {
			e.Code, e.Kind, e.Next = slipway.CodeInvalid, slipway.Invalid, "check the name, and that the registry takes OCI images"
		}
	}
}

func isCertificate(err error) bool {
	return errors.As(err, new(*tls.CertificateVerificationError))
}

// private is an error for the log without what a registry puts into addresses and answers:
// signatures, and pages of text.
func private(err error) error {
	var answer *transport.Error
	if errors.As(err, &answer) {
		codes := make([]string, 0, 4)
		for _, d := range answer.Errors[:min(len(answer.Errors), cap(codes))] {
			codes = append(codes, fmt.Sprintf("%.40q", d.Code))
		}
		return fmt.Errorf("registry: status %d, %v", answer.StatusCode, codes)
	}
	var u *url.Error
	if errors.As(err, &u) {
		return fmt.Errorf("registry: %s: %w", u.Op, u.Err)
	}
	return fmt.Errorf("registry: %w", err)
}
