package templates_test

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/tensor"
	"github.com/slipway-ml/slipway/templates"
)

// amountLimit is where the region begins that only live traffic has; see README.md.
const amountLimit = 5000

func open(t *testing.T, folder string) (*mlmodel.Model, *mlmodel.Predictor) {
	t.Helper()
	dir, err := fs.Sub(templates.FS, folder+"/model")
	if err != nil {
		t.Fatal(err)
	}
	m, p, err := mlmodel.OpenTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	return m, p
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := fs.ReadFile(templates.FS, name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// rowOf puts named values in the order of the inputs; what is absent or null is missing.
func rowOf(t *testing.T, m *mlmodel.Model, value func(name string) *float64) (row []float32) {
	t.Helper()
	for _, f := range m.Signature.Inputs {
		v := value(f.Name)
		if v == nil && f.Required {
			t.Fatalf("%s is required", f.Name)
		}
		if v == nil {
			row = append(row, float32(math.NaN()))
			continue
		}
		if f.Name == "amount" && *v > amountLimit {
			t.Errorf("an amount of %v", *v)
		}
		row = append(row, float32(*v))
	}
	return row
}

// answer predicts rows, and gives labels and probabilities.
func answer(t *testing.T, m *mlmodel.Model, p *mlmodel.Predictor, rows []float32) (labels []int64, probability []float32) {
	t.Helper()
	in, width := &tensor.Batch{}, p.NumFeature()
	for i, f := range m.Signature.Inputs {
		column := make([]float32, len(rows)/width)
		for r := range column {
			column[r] = rows[r*width+i]
		}
		in.Tensors = append(in.Tensors, tensor.NewFloat32(f.Name, []int{len(column)}, column))
	}
	out, err := p.Predict(in)
	if err != nil {
		t.Fatal(err)
	}
	for r := range out.Rows() {
		labels = append(labels, out.Tensor(mlmodel.OutputPredict).Int(r))
		probability = append(probability, float32(out.Tensor(mlmodel.OutputProbability).Float(r)))
	}
	return labels, probability
}

// TestGoldens replays what the library answered.
func TestGoldens(t *testing.T) {
	for _, folder := range []string{"xgboost", "demo/v1", "demo/v2"} {
		t.Run(folder, func(t *testing.T) {
			m, p := open(t, folder)
			lines, missing := bufio.NewScanner(bytes.NewReader(read(t, folder+"/golden.jsonl"))), 0
			n := 0
			for ; lines.Scan(); n++ {
				var want struct {
					Inputs  map[string]*float64
					Outputs struct {
						Predict     int64
						Probability float64
					}
				}
				if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
					t.Fatal(err)
				}
				if want.Inputs["merchant_risk"] == nil {
					missing++
				}
				labels, probability := answer(t, m, p, rowOf(t, m, func(c string) *float64 { return want.Inputs[c] }))
				if off := math.Abs(float64(probability[0]) - want.Outputs.Probability); off > 1e-6 || labels[0] != want.Outputs.Predict {
					t.Errorf("line %d: %v %v, want %+v", n+1, labels, probability, want.Outputs)
				}
			}
			if n < 50 || missing == 0 {
				t.Errorf("%d rows, %d with a missing value", n, missing)
			}
		})
	}
}

// TestHoldout scores the models: v2 is better than v1, and both pass the usual floor.
func TestHoldout(t *testing.T) {
	if !bytes.Equal(read(t, "xgboost/holdout.csv"), read(t, "demo/holdout.csv")) {
		t.Error("the hold-outs differ")
	}
	records, err := csv.NewReader(bytes.NewReader(read(t, "xgboost/holdout.csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	header, records := records[0], records[1:]
	auc := map[string]float64{}
	for _, folder := range []string{"demo/v1", "demo/v2", "xgboost"} {
		m, p := open(t, folder)
		var rows []float32
		for _, rec := range records {
			rows = append(rows, rowOf(t, m, func(c string) *float64 {
				v, err := strconv.ParseFloat(rec[slices.Index(header, c)], 64)
				if err != nil {
					return nil
				}
				return &v
			})...)
		}
		_, probability := answer(t, m, p, rows)
		auc[folder] = rocAUC(probability, func(i int) bool { return records[i][len(header)-1] == "1" })
	}
	t.Logf("%d rows, ROC AUC %v", len(records), auc)
	if auc["demo/v1"] < 0.87 || auc["demo/v2"] < auc["demo/v1"]+0.02 || auc["xgboost"] != auc["demo/v2"] {
		t.Errorf("ROC AUC %v", auc)
	}
}

// rocAUC is the share of pairs of a positive and a negative row that the score orders
// rightly; ties count half.
func rocAUC(score []float32, positive func(int) bool) float64 {
	var right, pairs float64
	for i := range score {
		for j := range score {
			if !positive(i) || positive(j) {
				continue
			}
			pairs++
			if score[i] > score[j] {
				right++
			} else if score[i] == score[j] {
				right += 0.5
			}
		}
	}
	return right / pairs
}

// TestFiles: what is embedded is complete and small, and nothing names the machine it was
// made on.
func TestFiles(t *testing.T) {
	total := 0
	err := fs.WalkDir(templates.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b := read(t, name)
		total += len(b)
		if strings.Contains(string(b), "TO"+"DO") {
			t.Errorf("%s is not complete", name)
		}
		for _, local := range []string{"/tmp/", "/home/", "/root/", "file://", "\nmodel_uuid"} {
			if bytes.Contains(b, []byte(local)) {
				t.Errorf("%s contains %q", name, local)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if total > 2<<20 {
		t.Errorf("%d bytes", total)
	}
}
