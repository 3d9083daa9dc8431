package answer

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// Headers of requests and answers, in canonical form.
const (
	typeHeader     = "Content-Type"
	encodingHeader = "Content-Encoding"
	acceptHeader   = "Accept-Encoding"
	// HeadHeader is the length of the JSON before binary data, in bytes (Open Inference's
	// binary tensor data extension).
	HeadHeader = "Inference-Header-Content-Length"
)

// Content types, as values of headers that never change.
var (
	JSON   = []string{"application/json"}
	Binary = []string{"application/octet-stream"}
)

const csvType = "text/csv"

// Exchange is one prediction request over HTTP, and its answer. Open makes one of the headers,
// Decode gives it the body, Bind reads that, and Reply writes the answer. It belongs to one
// request, and is not safe for concurrent use.
type Exchange struct {
	protocol Protocol
	csv      bool
	head     int // length of the JSON; -1: of the whole body
	packed   coding
	held     int64  // memory that Decode took
	accepted coding // of the answer
	body     []byte
	wanted   tensor.Wanted
}

// Reply is the answer to a prediction request.
type Reply struct {
	Body     []byte
	Type     []string // JSON or Binary
	Encoding string   // empty for a body that is not compressed
	Head     int      // length of the JSON if binary data follow, else 0
}

// Open refuses what the headers of a request say that cannot be read, before the body is.
// Header gives the value of a header by its canonical name, "" for none.
func (p Protocol) Open(header func(name string) string) (Exchange, *slipway.Error) {
	x := Exchange{protocol: p, head: -1, accepted: negotiate(header(acceptHeader))}
	var ok bool
	if x.packed, ok = codingOf(header(encodingHeader)); !ok {
		return x, unsupported(encodingHeader, "compress the body with gzip, deflate or zstd, or not at all")
	}
	if p == MLflowScoring {
		return x, x.mlflowType(header(typeHeader))
	}
	binary := header(HeadHeader)
	switch t := header(typeHeader); t {
	case "", JSON[0]:
	default:
		kind, params, err := mime.ParseMediaType(t)
		if err != nil || kind != JSON[0] && kind != Binary[0] || !utf8Only(params) || kind == Binary[0] && binary == "" {
			return x, unsupported(typeHeader, "send JSON, with Content-Type: application/json, or JSON and binary data, with "+HeadHeader)
		}
	}
	if binary != "" {
		n, err := strconv.ParseUint(binary, 10, 31)
		if err != nil {
			return x, &slipway.Error{Code: slipway.CodeRequest, Kind: slipway.Invalid, Field: HeadHeader, Message: "is no length", Next: "send the number of bytes of the JSON"}
		}
		x.head = int(n)
	}
	return x, nil
}

func utf8Only(params map[string]string) bool {
	c, ok := params["charset"]
	return !ok || strings.EqualFold(c, "utf-8") || strings.EqualFold(c, "utf8")
}

// mlflowType reads a content type as MLflow's scoring server does: no parameter but a charset
// of UTF-8.
func (x *Exchange) mlflowType(t string) *slipway.Error {
	const next = "send application/json or text/csv, in UTF-8"
	switch t {
	case "", JSON[0]:
		return nil
	}
	kind, params, err := mime.ParseMediaType(t)
	if err != nil || kind != JSON[0] && kind != csvType || !utf8Only(params) {
		return unsupported(typeHeader, next)
	}
	for name := range params {
		if name != "charset" && (kind != csvType || name != "header") { // RFC 4180 has header=present
			return unsupported(typeHeader, next)
		}
	}
	x.csv = kind == csvType
	return nil
}

// Decode takes the body, which must not change until Reply is done, and unpacks it if it is
// compressed, up to limit bytes. Hold is told of each piece of memory that this takes, in
// bytes, and may refuse it; see Held.
func (x *Exchange) Decode(body []byte, limit int64, hold func(n int64) *slipway.Error) *slipway.Error {
	if x.packed != plain {
		var err *slipway.Error
		take := func(n int64) *slipway.Error {
			x.held += n
			return hold(n)
		}
		if body, err = unpack(x.packed, body, limit, take); err != nil {
			return err
		}
	}
	if x.head > len(body) {
		return &slipway.Error{Code: slipway.CodeRequest, Kind: slipway.Invalid, Field: HeadHeader,
			Message: "is more than the length of the body", Next: "send the number of bytes of the JSON, before compression"}
	}
	x.body = body
	return nil
}

// Held is how much memory Decode took, in bytes, whether it was refused or not.
func (x *Exchange) Held() int64 { return x.held }

// Bind reads the request for a schema. What does not fit is Unprocessable, with the path of
// the field. It may be called again, with another schema.
func (x *Exchange) Bind(schema *tensor.Schema) (*tensor.Batch, *slipway.Error) {
	in, err := x.parse(schema)
	if err == nil {
		err = x.wanted.Missing(schema.Outputs)
	}
	if err != nil {
		return nil, slipway.AsError(err)
	}
	return in, nil
}

func (x *Exchange) parse(schema *tensor.Schema) (in *tensor.Batch, err error) {
	switch {
	case x.csv:
		return tensor.ParseCSV(x.body, schema)
	case x.protocol == MLflowScoring:
		return tensor.ParseInvocations(x.body, schema)
	case x.head >= 0:
		in, x.wanted, err = tensor.ParseInfer(x.body, x.head, schema)
	default:
		in, x.wanted, err = tensor.ParseInfer(x.body, len(x.body), schema)
	}
	return in, err
}

// Reply writes a prediction to dst. What the client asks for and the model does not give is
// Unprocessable.
func (x *Exchange) Reply(dst []byte, model, version string, out *tensor.Batch) (Reply, *slipway.Error) {
	r := Reply{Type: JSON}
	if x.protocol == MLflowScoring {
		r.Body = tensor.AppendPredictions(dst, out)
	} else {
		var err error
		if r.Body, r.Head, err = tensor.AppendInferResponse(dst, model, version, &x.wanted, out); err != nil {
			return Reply{}, slipway.AsError(err)
		}
		if r.Head > 0 {
			r.Type = Binary
		}
	}
	if x.accepted != plain && len(r.Body) >= minPacked {
		r.Body, r.Encoding = pack(x.accepted, r.Body), x.accepted.String()
	}
	return r, nil
}

// Write answers with a prediction.
func (r *Reply) Write(w http.ResponseWriter) {
	h := w.Header()
	h[typeHeader] = r.Type
	if r.Head > 0 {
		h[HeadHeader] = []string{strconv.Itoa(r.Head)}
	}
	if r.Encoding != "" {
		h[encodingHeader] = []string{r.Encoding}
	}
	if len(r.Body) > 2048 { // net/http counts less by itself
		h["Content-Length"] = []string{strconv.Itoa(len(r.Body))}
	}
	_, _ = w.Write(r.Body)
}

func unsupported(header, next string) *slipway.Error {
	return &slipway.Error{Code: slipway.CodeRequest, Kind: slipway.Invalid, Field: header, Message: "is not supported", Next: next}
}
