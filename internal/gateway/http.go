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
		g.data(w, r, path, g.callerOf(r))
	}
}

// secure tells browsers to come over TLS alone, for a year (RFC 6797).
var secure = []string{"max-age=31536000"}

// ready says whether there is something to serve, and for long enough.
func (g *Gateway) ready() bool { return g.table.Load().Seq > 0 && !g.ending.Load() }

// data answers what needs a grant of the table.
func (g *Gateway) data(w http.ResponseWriter, r *http.Request, path string, who caller) {
	h := w.Header()
	h[requestIDHeader] = g.requestID(r)
	rest, mlflow := strings.CutPrefix(path, "/endpoints/")
	p := answer.OpenInference
	if mlflow {
		p = answer.MLflowScoring
	}
	switch {
	case who.grant == nil:
		h.Set("WWW-Authenticate", `Bearer realm="slipway"`)
		g.refuse(who, "")
		p.Fail(w, unauthorized())
		return
	case mlflow:
		if key, ok := strings.CutSuffix(rest, "/invocations"); ok && p.Allow(w, r, http.MethodPost) {
			g.invoke(w, r, who, key, p)
		} else if !ok {
			p.Fail(w, unknownPath())
		}
		return
	}
	if rest, ok := strings.CutPrefix(path, "/v2/models/"); ok {
		if key, ok := strings.CutSuffix(rest, "/infer"); ok {
			if p.Allow(w, r, http.MethodPost) {
				g.invoke(w, r, who, key, p)
			}
			return
		}
		if p.Allow(w, r, http.MethodGet) {
			g.model(w, rest, who)
		}
		return
	}
	if p.Allow(w, r, http.MethodGet) {
		g.about(w, r, path, who)
	}
}

// about answers what is not of one model.
func (g *Gateway) about(w http.ResponseWriter, r *http.Request, path string, who caller) {
	switch path {
	case "/v2", "/v2/":
		answer.Write(w, http.StatusOK, map[string]any{"name": "slipway", "version": "2", "extensions": []string{}})
	case "/v2/health/live":
		answer.Write(w, http.StatusOK, map[string]bool{"live": true})
	case "/v2/health/ready":
		answer.Ready(w, g.ready(), map[string]any{"ready": g.ready()})
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

// model answers a model's metadata and its readiness (Open Inference Protocol, REST).
func (g *Gateway) model(w http.ResponseWriter, rest string, who caller) {
	key, isReady := strings.CutSuffix(rest, "/ready")
	e, err := g.granted(who, key)
	if err != nil {
		answer.OpenInference.Fail(w, err)
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
		answer.Ready(w, serves, map[string]any{"name": key, "ready": serves})
	case rev == nil:
		answer.OpenInference.Fail(w, withdrawn(e.Reason))
	default:
		answer.Write(w, http.StatusOK, metadataOf(key, rev))
	}
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
