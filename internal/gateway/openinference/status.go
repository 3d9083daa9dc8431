package openinference

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/slipway-ml/slipway"
)

// domain names those who make the codes (google.rpc.ErrorInfo).
const domain = "slipway"

// retryAfter is what a client shall wait, as over REST.
const retryAfter = time.Second

// codeOf maps an error to the code of gRPC, as its status does over REST.
func codeOf(e *slipway.Error) codes.Code {
	switch {
	case e.Code == slipway.CodeDeadline:
		return codes.DeadlineExceeded
	case e.Code == slipway.CodeTooLarge:
		return codes.ResourceExhausted
	}
	switch e.Kind {
	case slipway.Invalid, slipway.Unprocessable:
		return codes.InvalidArgument
	case slipway.Unauthorized:
		return codes.Unauthenticated
	case slipway.Denied:
		return codes.PermissionDenied
	case slipway.NotFound:
		return codes.NotFound
	case slipway.Conflict:
		return codes.FailedPrecondition
	case slipway.Exhausted:
		return codes.ResourceExhausted
	case slipway.Unavailable:
		return codes.Unavailable
	default:
		return codes.Internal
	}
}

// convert makes the status of an error: its message, and as details what our other answers
// have in fields of their own.
func convert(e *slipway.Error) *status.Status {
	s := status.New(codeOf(e), e.Error())
	info := &errdetails.ErrorInfo{Reason: e.Code, Domain: domain, Metadata: map[string]string{}}
	if e.Field != "" {
		info.Metadata["field"] = e.Field
	}
	if e.Next != "" {
		info.Metadata["next"] = e.Next
	}
	details := []protoadapt.MessageV1{info}
	if code := s.Code(); code == codes.Unavailable || code == codes.ResourceExhausted && e.Code != slipway.CodeTooLarge {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
	}
	if with, err := s.WithDetails(details...); err == nil {
		return with
	}
	return s // the message says all of it
}

func statusOf(e *slipway.Error) error { return convert(e).Err() }

// Refuse answers a call before any of it is read.
func Refuse(w http.ResponseWriter, e *slipway.Error) {
	s := convert(e)
	h := w.Header()
	h.Set("Content-Type", "application/grpc")
	h.Set("Grpc-Status", strconv.Itoa(int(s.Code())))
	h.Set("Grpc-Message", escape(s.Message()))
	if b, err := proto.Marshal(s.Proto()); err == nil {
		h.Set("Grpc-Status-Details-Bin", base64.RawStdEncoding.EncodeToString(b))
	}
	w.WriteHeader(http.StatusOK)
}

// escape writes a message as a header may have it (gRPC over HTTP/2, Percent-Encoded).
func escape(message string) string {
	var b strings.Builder
	for i := range len(message) {
		if c := message[i]; c < ' ' || c > '~' || c == '%' {
			b.WriteString("%" + strings.ToUpper(strconv.FormatUint(uint64(c)+0x100, 16)[1:]))
			continue
		}
		b.WriteByte(message[i])
	}
	return b.String()
}
