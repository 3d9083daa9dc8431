package runtime_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/runtime"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// TestMain lets the test binary play the runtime and the custom server, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "runtime":
			os.Exit(runtime.Main(os.Args[2:], os.Stderr, nil))
		case "custom-server":
			os.Exit(customServer(os.Args[2:]))
		}
	}
	goleak.VerifyTestMain(m)
}

// customServer speaks the contract of custom servers, or breaks it as mode says.
func customServer(args []string) int {
	flags := flag.NewFlagSet("custom-server", flag.ExitOnError)
	mode := flags.String("mode", "double", "")
	socket := flags.String("socket", "", "")
	port := flags.String("port", "", "")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	fmt.Println("hello from", os.Getenv("SLIPWAY_MODEL"), "with", len(os.Environ()), "variables")
	fmt.Fprintln(os.Stderr, "secret is", os.Getenv("SLIPWAY_TOKEN"))
	switch *mode {
	case "dies":
		fmt.Fprintln(os.Stderr, "no weights")
		return 3
	case "grandchild":
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			return 4
		}
		if err := os.WriteFile("grandchild", fmt.Append(nil, cmd.Process.Pid), 0o600); err != nil {
			return 4
		}
	case "fat":
		fat := make([]byte, 300<<20)
		for i := range fat {
			fat[i] = byte(i)
		}
		defer func() { fmt.Println(fat[1]) }()
	}
	network, addr := "unix", *socket
	if *port != "" {
		network, addr = "tcp", "127.0.0.1:"+*port
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 5
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/health/ready", func(w http.ResponseWriter, _ *http.Request) {
		if *mode == "never-ready" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("POST /v2/models/fraud/infer", func(w http.ResponseWriter, r *http.Request) { infer(*mode, w, r) })
	fmt.Fprintln(os.Stderr, http.Serve(ln, mux))
	return 0
}

func infer(mode string, w http.ResponseWriter, r *http.Request) {
	switch mode {
	case "hangs":
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	case "fails":
		http.Error(w, `{"error":"boom"}`, http.StatusInternalServerError)
	case "refuses":
		http.Error(w, `{"error":"amount must be positive\nTraceback"}`, http.StatusUnprocessableEntity)
	case "garbage":
		fmt.Fprint(w, `{"outputs": [{"name": 3`)
	case "huge":
		chunk := strings.Repeat(" ", 1<<20)
		for range 80 {
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
		}
	case "breaks":
		panic(http.ErrAbortHandler)
	default:
		double(w, r)
	}
}

// double answers every number of the first input twice as large.
func double(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Inputs []struct {
			Shape []int     `json:"shape"`
			Data  []float64 `json:"data"`
		} `json:"inputs"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || len(in.Inputs) == 0 {
		http.Error(w, `{"error":"no inputs"}`, http.StatusBadRequest)
		return
	}
	data := in.Inputs[0].Data
	for i := range data {
		data[i] *= 2
	}
	out := map[string]any{"name": "out", "datatype": "FP64", "shape": in.Inputs[0].Shape, "data": data}
	_ = json.NewEncoder(w).Encode(map[string]any{"model_name": "fraud", "outputs": []any{out}})
}

// batch is one tensor of rows × columns numbers that start at first.
func batch(first float64, rows, columns int) *tensor.Batch {
	data := make([]byte, 0, 8*rows*columns)
	for i := range rows * columns {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(first+float64(i)))
	}
	return &tensor.Batch{Tensors: []tensor.Tensor{{Name: "in", Type: tensor.FP64, Shape: []int{rows, columns}, Data: data}}}
}

// first is the first number of a batch.
func first(b *tensor.Batch) float64 {
	return math.Float64frombits(binary.LittleEndian.Uint64(b.Tensors[0].Data))
}

// wantError checks the code and kind of an error.
func wantError(t *testing.T, err error, code string, kind slipway.Kind) {
	t.Helper()
	var e *slipway.Error
	if !errors.As(err, &e) || e.Code != code || e.Kind != kind {
		t.Fatalf("error is %v (%#v), want code %s of kind %d", err, err, code, kind)
	}
}

func withTimeout(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// socketPath is a path short enough for a socket.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}
