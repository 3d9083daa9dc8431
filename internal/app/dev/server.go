package dev

import (
	"embed"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/runtime/standalone"
	"github.com/slipway-ml/slipway/internal/tensor"
)

//go:embed page
var page embed.FS

// policy lets the page load nothing from elsewhere, and run nothing but its own script.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// serving is a loaded project with its requests: it is stopped when the last has ended.
type serving struct {
	*loaded
	handler http.Handler
	number  int // counts from 1
	since   time.Time
	asked   sync.WaitGroup
}

// server hands each request to the newest state of the project.
type server struct {
	mu      sync.Mutex
	current *serving
	problem *slipway.Error // why a newer state is not served, nil if none is
}

// swap puts a new state in place of the one before, and waits for that one's requests.
func (s *server) swap(next *serving) {
	s.mu.Lock()
	old := s.current
	s.current, s.problem = next, nil
	s.mu.Unlock()
	if old != nil {
		old.asked.Wait()
		old.stop()
	}
}

func (s *server) refuse(problem *slipway.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problem = problem
}

// take gives the newest state; the caller calls Done of its requests.
func (s *server) take() *serving {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil {
		s.current.asked.Add(1)
	}
	return s.current
}

// ServeHTTP answers a request. Names that are not this machine's are refused: a page of
// elsewhere could have its name lead here.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !local(r.Host) {
		http.Error(w, "this server answers on this machine alone: use 127.0.0.1 or localhost", http.StatusForbidden)
		return
	}
	now := s.take()
	if now == nil {
		http.Error(w, "the model is not loaded yet", http.StatusServiceUnavailable)
		return
	}
	defer now.asked.Done()
	switch path := r.URL.Path; {
	case path == "/dev/status":
		s.status(w, now)
	case path == "/" || path == "/playground.js" || path == "/playground.css":
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		if path == "/" {
			path = "/playground.html"
		}
		http.ServeFileFS(w, r, page, "page"+path)
	default:
		if r.URL.Path == "/endpoints/"+now.spec.Endpoint()+"/invocations" { // as the gateway has it
			r.URL.Path = "/invocations"
		}
		now.handler.ServeHTTP(w, r)
	}
}

func local(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// field is an input or an output for the page.
type field struct {
	Name     string `json:"name"`
	Datatype string `json:"datatype"`
	Shape    []int  `json:"shape,omitempty"` // of a row
	Required bool   `json:"required"`
}

func fields(all []tensor.Field) []field {
	out := []field{}
	for _, f := range all {
		out = append(out, field{f.Name, f.Type.String(), f.Shape, f.Required})
	}
	return out
}

// status is what the page shows.
func (s *server) status(w http.ResponseWriter, now *serving) {
	s.mu.Lock()
	problem := s.problem
	s.mu.Unlock()
	checks := []map[string]string{}
	for _, r := range now.results {
		checks = append(checks, map[string]string{"check": r.Check, "verdict": r.Verdict.String(), "message": r.Message, "next": r.Next})
	}
	out := map[string]any{"name": now.spec.Endpoint(), "description": now.spec.Description, "runtime": now.saved.Runtime.Kind, "number": now.number, "since": now.since,
		"inputs": fields(now.saved.Schema.Inputs), "outputs": fields(now.saved.Schema.Outputs), "example": written(now.example), "checks": checks}
	if problem != nil {
		out["problem"] = problem.What()
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(out) // a page that was closed
}

// handlerOf is the server of a container image: what an engineer tries is what will answer.
func handlerOf(l *loaded, o Options) http.Handler {
	return standalone.New(standalone.Model{Name: l.spec.Endpoint(), Version: version, Platform: "slipway_" + l.saved.Runtime.Kind,
		Schema: l.saved.Schema, Predictor: l.model}, standalone.Limits{}, o.Version, version, o.Log)
}
