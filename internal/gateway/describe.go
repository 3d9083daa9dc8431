package gateway

import (
	"net/http"
	"os"
	"regexp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/answer"
	"github.com/slipway-ml/slipway/internal/describe"
	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// maxExample bounds the file of a model's example, in bytes: what a reader of the page wants to
// see is a row or two.
const maxExample = 256 << 10

// describe answers with what callers read about an endpoint.
func (g *Gateway) describe(w http.ResponseWriter, r *http.Request, p answer.Path, e *endpoint, rev *revision) {
	d := describe.Endpoint{Key: e.Key, Model: rev.Model, Version: rev.version[0], Base: baseOf(r), Schema: &rev.Schema,
		Example: exampleOf(rev.Dir, &rev.Schema), Deadline: e.Deadline, MaxBody: g.c.MaxBody}
	write, kind := d.OpenAPI, "application/json"
	if p.What == answer.Page {
		write, kind = d.Page, "text/html; charset=utf-8"
	}
	body, err := write()
	if err != nil {
		p.Protocol.Fail(w, &slipway.Error{Code: slipway.CodeInternal, Kind: slipway.Internal, Message: "the description cannot be written", Next: "see the gateway's log", Cause: err})
		return
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "private, no-store")
	_, _ = w.Write(body)
}

// exampleOf reads the example that was saved with a model; nil if there is none that it takes.
func exampleOf(dir string, schema *tensor.Schema) *tensor.Batch {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil
	}
	defer root.Close()
	m, err := mlmodel.Read(root.FS())
	if err != nil {
		return nil
	}
	request, ok := m.ExampleRequest(root.FS(), maxExample)
	if !ok {
		return nil
	}
	b, err := tensor.ParseInvocations(request, schema)
	if err != nil {
		return nil
	}
	return b
}

// hosts are those that can stand in a line of a shell.
var hosts = regexp.MustCompile(`^[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?$|^\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?$`)

// baseOf is the address that a request came to.
func baseOf(r *http.Request) string {
	host := "localhost"
	if hosts.MatchString(r.Host) {
		host = r.Host
	}
	if r.TLS != nil {
		return "https://" + host
	}
	return "http://" + host
}
