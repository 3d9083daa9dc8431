package gateway

import (
	"crypto/sha256"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/route"
)

// ServeHTTP is the public address: predictions, metrics and manual rollbacks are answered
// here, the control API by the server behind.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.ending.Load() || r.TLS != nil && g.leaving.Load() {
		w.Header().Set("Connection", "close")
	}
	if r.TLS != nil && !strings.HasPrefix(r.Host, "localhost") { // of which browsers would remember it for every port
		w.Header()["Strict-Transport-Security"] = secure
	}
	path := r.URL.Path
	switch {
	case path == "/healthz":
		_, _ = io.WriteString(w, "ok\n")
	case path == "/readyz":
		if !g.ready() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, "\n")
	case controlled(path):
		g.control(w, r, path)
	default:
		g.data(w, r, path, g.authorize(r))
	}
}

// secure tells browsers to come over TLS alone, for a year (RFC 6797).
var secure = []string{"max-age=31536000"}

// ready says whether there is something to serve, and for long enough.
func (g *Gateway) ready() bool { return g.table.Load().Seq > 0 && !g.ending.Load() }

// data answers what needs a grant of the table; grant is nil without one.
func (g *Gateway) data(w http.ResponseWriter, r *http.Request, path string, grant *route.Grant) {
	h := w.Header()
	h[requestIDHeader] = g.requestID(r)
	rest, mlflow := strings.CutPrefix(path, "/endpoints/")
	p := openInference
	if mlflow {
		p = mlflowScoring
	}
	switch {
	case grant == nil:
		h.Set("WWW-Authenticate", `Bearer realm="slipway"`)
		p.fail(w, unauthorized())
		return
	case mlflow:
		if key, ok := strings.CutSuffix(rest, "/invocations"); ok && allow(w, r, p, http.MethodPost) {
			g.predict(w, r, grant, key, p)
		} else if !ok {
			p.fail(w, unknownPath())
		}
		return
	}
	if rest, ok := strings.CutPrefix(path, "/v2/models/"); ok {
		if key, ok := strings.CutSuffix(rest, "/infer"); ok {
			if allow(w, r, p, http.MethodPost) {
				g.predict(w, r, grant, key, p)
			}
			return
		}
		if allow(w, r, p, http.MethodGet) {
			g.model(w, rest, grant)
		}
		return
	}
	if allow(w, r, p, http.MethodGet) {
		g.about(w, r, path, grant)
	}
}

// allow checks the method, and answers if it is another.
func allow(w http.ResponseWriter, r *http.Request, p protocol, method string) bool {
	if r.Method == method || method == http.MethodGet && r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", method)
	p.write(w, http.StatusMethodNotAllowed, &slipway.Error{Code: slipway.CodeRequest, Message: "the method is not allowed here", Next: "use " + method})
	return false
}

// about answers what is not of one model.
func (g *Gateway) about(w http.ResponseWriter, r *http.Request, path string, grant *route.Grant) {
	switch path {
	case "/v2", "/v2/":
		writeJSON(w, http.StatusOK, map[string]any{"name": "slipway", "version": "2", "extensions": []string{}})
	case "/v2/health/live":
		writeJSON(w, http.StatusOK, map[string]bool{"live": true})
	case "/v2/health/ready":
		writeReady(w, g.ready(), map[string]any{"ready": g.ready()})
	case "/metrics":
		if !grant.MayReadMetrics() {
			openInference.fail(w, denied("this token is not for metrics"))
			return
		}
		promhttp.HandlerFor(g.c.Metrics, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	default:
		openInference.fail(w, unknownPath())
	}
}

// model answers a model's metadata and its readiness (Open Inference Protocol, REST).
func (g *Gateway) model(w http.ResponseWriter, rest string, grant *route.Grant) {
	key, isReady := strings.CutSuffix(rest, "/ready")
	e, err := g.granted(key, grant)
	if err != nil {
		openInference.fail(w, err)
		return
	}
	rev := e.stable
	if rev == nil || e.Rollout != nil && e.Rollout.Promoted && e.live.given() > 0 {
		rev = e.candidate
	}
	serves := rev != nil && rev.ready.Load() > 0 && (e.State == route.Serving || e.State == route.Provisional) &&
		(e.stable != nil || e.live.given() > 0)
	switch {
	case isReady:
		writeReady(w, serves, map[string]any{"name": key, "ready": serves})
	case rev == nil:
		openInference.fail(w, withdrawn(e.Reason))
	default:
		writeJSON(w, http.StatusOK, metadataOf(key, rev))
	}
}

// granted finds an endpoint that a grant is for. Whether there is another one is not told.
func (g *Gateway) granted(key string, grant *route.Grant) (*endpoint, *slipway.Error) {
	e := g.table.Load().endpoints[key]
	switch {
	case !grant.MayPredict(key):
		return nil, denied("this token is not for the endpoint " + slipway.OneLine(key, 130))
	case e == nil:
		return nil, unknownEndpoint(key)
	}
	return e, nil
}

// authorize finds the grant of the bearer's token, or nil. Tokens are looked up by hash,
// so that the time it takes says nothing about them.
func (g *Gateway) authorize(r *http.Request) *route.Grant {
	v := r.Header["Authorization"]
	const scheme = "Bearer "
	if len(v) != 1 || len(v[0]) <= len(scheme) || !strings.EqualFold(v[0][:len(scheme)], scheme) {
		return nil
	}
	grant := g.table.Load().grants[sha256.Sum256([]byte(v[0][len(scheme):]))]
	if grant == nil || !grant.Expires.IsZero() && !g.c.Now().Before(grant.Expires) {
		return nil
	}
	if grant.Scope != route.ScopeOwner && grant.Scope != route.ScopeListed {
		return nil
	}
	return grant
}

// requestID gives the client's id of a request if it is harmless, else a new one.
func (g *Gateway) requestID(r *http.Request) []string {
	if v := r.Header[requestIDHeader]; len(v) == 1 && len(v[0]) <= slipway.MaxRequestID && fileName(v[0]) {
		return v
	}
	var b [40]byte
	id := append(b[:0], g.nonce...)
	return []string{string(strconv.AppendUint(id, g.serial.Add(1), 36))}
}

// nonce makes the beginning of a process's request ids from a number in [0, 1).
func nonce(random float64) string {
	return strconv.FormatUint(uint64(random*math.MaxInt32), 36) + "-"
}

// retryAfter says after how many seconds a client shall try again.
var retryAfter = []string{"1"}

func writeReady(w http.ResponseWriter, ok bool, body any) {
	code := http.StatusOK
	if !ok {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, body)
}

func writeJSON(w http.ResponseWriter, code int, body any) {
	w.Header()["Content-Type"] = jsonType
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // a client that left
}
