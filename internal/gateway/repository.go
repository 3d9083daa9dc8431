package gateway

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/answer"
	"github.com/slipway-ml/slipway/internal/gateway/openinference"
)

// repositoryPath is above all of Triton's extension of that name.
const repositoryPath = "/v2/repository/"

func (g *Gateway) asker(r *http.Request) *openinference.Caller {
	return &openinference.Caller{Authorization: r.Header["Authorization"], Source: r.RemoteAddr}
}

// list answers the names of the models that the caller may call, as KServe does.
func (g *Gateway) list(w http.ResponseWriter, r *http.Request) {
	all, err := models{g}.Index(g.asker(r))
	if err != nil {
		answer.OpenInference.Fail(w, err)
		return
	}
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].Name
	}
	answer.Write(w, http.StatusOK, map[string][]string{"models": names})
}

// maxIndex bounds the request for an index, in bytes.
const maxIndex = 64 << 10

// repository answers Triton's extension of that name.
func (g *Gateway) repository(w http.ResponseWriter, r *http.Request, rest string) {
	if rest == "index" {
		g.index(w, r)
		return
	}
	key, ok := strings.CutPrefix(rest, "models/")
	load := openinference.Load
	name, known := strings.CutSuffix(key, "/load")
	if !known {
		name, known = strings.CutSuffix(key, "/unload")
		load = openinference.Unload
	}
	if !ok || !known {
		answer.OpenInference.Fail(w, unknownPath())
		return
	}
	if err := load(models{g}, g.asker(r), name); err != nil {
		answer.OpenInference.Fail(w, err)
		return
	}
	answer.Write(w, http.StatusOK, struct {
		Name string `json:"name"` // what KServe answers
		Load bool   `json:"load"`
	}{name, true})
}

func (g *Gateway) index(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Ready bool `json:"ready"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxIndex)).Decode(&in); err != nil && !errors.Is(err, io.EOF) {
		answer.OpenInference.Fail(w, &slipway.Error{Code: slipway.CodeRequest, Kind: slipway.Invalid,
			Message: "the body is no JSON object with ready", Next: `send {} or {"ready":true}`})
		return
	}
	all, err := models{g}.Index(g.asker(r))
	if err != nil {
		answer.OpenInference.Fail(w, err)
		return
	}
	answer.Write(w, http.StatusOK, openinference.Entries(all, in.Ready))
}
