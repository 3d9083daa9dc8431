package demo

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// breaksAbove is the amount from which the demo's third version fails. No golden, no row of
// the hold-out and no row of the training data lies there; live traffic does.
const breaksAbove = 5000

const maxRequest = 1 << 20

// Serve is the demo's third version: a custom server around the same trees, with a mistake
// as real models have them. It listens on a Unix socket and speaks the Open Inference
// Protocol, until ctx ends.
func Serve(ctx context.Context, socket, dir string) error {
	m, trees, err := mlmodel.OpenTree(os.DirFS(dir))
	if err != nil {
		return err
	}
	schema, err := m.Schema(trees)
	if err != nil {
		return err
	}
	ln, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/health/ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /v2/models/{model}/infer", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
		if err != nil {
			return // the platform left
		}
		answer(w, body, schema, trees)
	})
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { s.Close() })()
	if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func answer(w http.ResponseWriter, body []byte, schema tensor.Schema, trees *mlmodel.Predictor) {
	in, wanted, err := tensor.ParseInfer(body, len(body), &schema)
	if err != nil {
		fail(w, http.StatusBadRequest, slipway.AsError(err).Error())
		return
	}
	amounts := in.Tensor("amount")
	for i := range in.Rows() {
		if amounts != nil && amounts.Float(i) > breaksAbove {
			fail(w, http.StatusInternalServerError, "no bucket for this amount")
			return
		}
	}
	out, err := trees.Predict(in)
	if err != nil {
		fail(w, http.StatusBadRequest, slipway.AsError(err).Error())
		return
	}
	wanted.Binary = false // the answer is JSON alone
	text, _, err := tensor.AppendInferResponse(nil, "fraud", "3", &wanted, out)
	if err != nil {
		fail(w, http.StatusBadRequest, slipway.AsError(err).Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text)
}

func fail(w http.ResponseWriter, status int, message string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": message})
}
