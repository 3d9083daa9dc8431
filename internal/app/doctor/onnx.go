package doctor

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/runtime/onnx/find"
)

// onnx tries the library that serves ONNX models. A machine may well do without.
func onnx(ctx context.Context) api.Finding {
	const check = "onnx"
	exe, err := os.Executable()
	if err != nil {
		return finding(check, warn, "try again", "this program does not find itself")
	}
	program, err := find.Program(exe)
	if err == nil {
		_, err = find.Library(program, os.Getenv)
	}
	if err != nil {
		e := slipway.AsError(err)
		return finding(check, pass, e.Next, "ONNX models are served by Python: %s", e.Message)
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "version")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	var about struct {
		Version string `json:"version"`
		Library string `json:"onnxruntime"`
		Problem string `json:"problem"`
	}
	if err == nil {
		err = json.Unmarshal(out, &about)
	}
	switch {
	case err != nil:
		return finding(check, warn, "put "+find.Name+" of the same release beside platform", "%s does not run: %s", program, slipway.OneLine(err.Error(), 200))
	case about.Problem != "":
		return finding(check, warn, "pip install onnxruntime, and set "+find.Env, "%s", slipway.OneLine(about.Problem, 300))
	default:
		return finding(check, pass, "", "ONNX Runtime %s, by %s %s", about.Library, find.Name, about.Version)
	}
}
