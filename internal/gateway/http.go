package gateway

import (
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/answer"
	"github.com/slipway-ml/slipway/internal/gateway/openinference"
	"github.com/slipway-ml/slipway/internal/route"
)

// ServeHTTP is the public address: predictions, metrics and manual rollbacks are answered
// here, the control API by the server behind.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.ending.Load() || g.left.Load() && r.ProtoMajor == 2 || g.leaving.Load() && r.TLS != nil && r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
	if r.TLS != nil && !strings.HasPrefix(r.Host, "localhost") { // of which browsers would remember it for every port
		w.Header()["Strict-Transport-Security"] = secure
	}
	path := r.URL.Path
	switch {
	case openinference.Speaks(r):
		g.grpc(w, r)
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
		g.data(w, r, path, g.callerOf(r))
	}
}

// secure tells browsers to come over TLS alone, for a year (RFC 6797).
var secure = []string{"max-age=31536000"}

// ready says whether there is something to serve, and for long enough.
func (g *Gateway) ready() bool {
	return g.table.Load().Seq > 0 && (!g.ending.Load() || g.left.Load()) // whoever takes over is ready
}

// data answers what needs a grant of the table.
func (g *Gateway) data(w http.ResponseWriter, r *http.Request, path string, who caller) {
	h := w.Header()
	h[requestIDHeader] = g.requestID(r)
	p, ofModel := answer.ParsePath(path)
	endpoint, passed := passedTo(r.URL)
	switch {
	case who.grant == nil:
		h.Set("WWW-Authenticate", `Bearer realm="slipway"`)
		g.refuse(who, "")
		p.Protocol.Fail(w, unauthorized())
	case passed != "":
		g.pass(w, r, who, endpoint, passed)
	case ofModel && p.What == answer.Nothing:
		p.Protocol.Fail(w, unknownPath())
	case ofModel && p.What == answer.Predict:
		if p.Protocol.Allow(w, r, http.MethodPost) {
			g.invoke(w, r, who, p)
		}
	case strings.HasPrefix(path, repositoryPath):
		if p.Protocol.Allow(w, r, http.MethodPost) {
			g.repository(w, r, strings.TrimPrefix(path, repositoryPath))
		}
	case !p.Protocol.Allow(w, r, http.MethodGet):
	case ofModel:
		g.model(w, r, p, who)
	default:
		g.about(w, r, path, who)
	}
}

// about answers what is not of one model.
func (g *Gateway) about(w http.ResponseWriter, r *http.Request, path string, who caller) {
	switch path {
	case "/v2", "/v2/":
		answer.Write(w, http.StatusOK, answer.ServerMetadata())
	case "/v2/models":
		g.list(w, r)
	case "/v2/health/live":
		answer.Write(w, http.StatusOK, map[string]bool{"live": true})
	case "/v2/health/ready":
		answer.Ready(w, "", g.ready())
	case "/metrics":
		if !who.grant.MayReadMetrics(g.c.Now()) {
			g.refuse(who, "")
			answer.OpenInference.Fail(w, denied("this token is not for metrics"))
			return
		}
		promhttp.HandlerFor(g.c.Metrics, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	default:
		answer.OpenInference.Fail(w, unknownPath())
	}
}

// model answers what is said of a model: its metadata and its readiness (Open Inference
// Protocol, REST), and what callers read about it.
func (g *Gateway) model(w http.ResponseWriter, r *http.Request, p answer.Path, who caller) {
	e, err := g.granted(who, p.Name)
	if err != nil {
		p.Protocol.Fail(w, err)
		return
	}
	rev := e.shown()
	if p.Version != "" {
		if rev, err = e.ofVersion(p.Version); err != nil {
			p.Protocol.Fail(w, err)
			return
		}
	}
	serves := e.serves(rev)
	switch {
	case p.What == answer.ModelReady:
		answer.Ready(w, p.Name, serves)
	case rev == nil:
		p.Protocol.Fail(w, withdrawn(e.Reason))
	case p.What == answer.ModelMetadata:
		answer.Write(w, http.StatusOK, metadataOf(p.Name, rev))
	default:
		g.describe(w, r, p, e, rev)
	}
}

// serves says whether a revision, which may be nil, answers for the endpoint.
func (e *endpoint) serves(rev *revision) bool {
	return rev != nil && rev.ready.Load() > 0 && (e.State == route.Serving || e.State == route.Provisional) &&
		(e.stable != nil || e.live.given() > 0)
}

// shown is the revision that is spoken of when none is named; nil if there is none.
func (e *endpoint) shown() *revision {
	if e.stable == nil || e.Rollout != nil && e.Rollout.Promoted && e.live.given() > 0 {
		return e.candidate
	}
	return e.stable
}

// ofVersion finds the revision of a model's version; the stable one, if both have it.
func (e *endpoint) ofVersion(version string) (*revision, *slipway.Error) {
	for _, rev := range []*revision{e.stable, e.candidate} {
		if rev != nil && rev.version[0] == version {
			return rev, nil
		}
	}
	return nil, unknownVersion(e.Key)
}

// callerOf is who sent a request.
func (g *Gateway) callerOf(r *http.Request) caller {
	return g.identify(r.Header["Authorization"], r.RemoteAddr)
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
