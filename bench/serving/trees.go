package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-ml/slipway/bench/figure"
	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/tensor"
)

const batchRows, batchFeatures = 1000, 30

// trees measures batches of 1,000 rows on one core beside the C++ libraries' own predict, in
// turns; the medians are compared.
func (b *bench) trees(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "slipway-trees-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	peer, err := startLibraries(ctx, b.python(".venv", "python"), filepath.Join(b.repo, "bench/serving/trees.py"), dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, peer.stop()) }()
	raw, err := os.ReadFile(filepath.Join(dir, "rows"))
	if err != nil {
		return err
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	worst := figure.Figure{Ratio: 1e9}
	for _, name := range []string{"xgboost_100", "xgboost_500", "lightgbm_100", "lightgbm_500"} {
		_, p, err := mlmodel.OpenTree(os.DirFS(filepath.Join(dir, name)))
		if err != nil {
			return err
		}
		in := &tensor.Batch{Tensors: []tensor.Tensor{{Name: "input", Type: tensor.FP32, Shape: []int{batchRows, batchFeatures}, Data: raw}}}
		var ours, theirs []float64
		for range b.rounds {
			t, err := peer.seconds(name)
			if err != nil {
				return err
			}
			o, err := batchSeconds(p, in)
			if err != nil {
				return err
			}
			ours, theirs = append(ours, batchRows/o), append(theirs, batchRows/t)
		}
		slices.Sort(ours)
		slices.Sort(theirs)
		f := b.Beside("batch1000_vs_native_"+name, ours[len(ours)/2], theirs[len(theirs)/2], 1)
		b.Print(f)
		if f.Ratio < worst.Ratio {
			worst = f
		}
	}
	worst.Metric = "batch1000_vs_native"
	b.Print(worst)
	return nil
}

// batchSeconds is the median time of one prediction.
func batchSeconds(p *mlmodel.Predictor, in *tensor.Batch) (float64, error) {
	var times []float64
	for end := time.Now().Add(400 * time.Millisecond); time.Now().Before(end) || len(times) < 5; {
		start := time.Now()
		if _, err := p.Predict(in); err != nil {
			return 0, err
		}
		times = append(times, time.Since(start).Seconds())
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

// libraries is a process in which the libraries predict.
type libraries struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startLibraries(ctx context.Context, python, script, dir string) (*libraries, error) {
	cmd := exec.CommandContext(ctx, python, script, dir)
	cmd.Env = append(os.Environ(), "OMP_NUM_THREADS=1", "PYTHONWARNINGS=ignore")
	var said strings.Builder
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	l := &libraries{cmd, in, bufio.NewReader(out)}
	if line, err := l.out.ReadString('\n'); err != nil || line != "ready\n" {
		return nil, errors.Join(fmt.Errorf("%s: %q: %w", script, line, err), l.stop(), errors.New(said.String()))
	}
	return l, nil
}

// seconds asks for the time of one prediction.
func (l *libraries) seconds(model string) (float64, error) {
	if _, err := fmt.Fprintln(l.in, model); err != nil {
		return 0, err
	}
	line, err := l.out.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(line), 64)
}

func (l *libraries) stop() error {
	l.in.Close()
	return l.cmd.Wait()
}
