package spec

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway/internal/spec/strict"
)

// quantityRE is the number and suffix of a Kubernetes resource quantity; the suffixes
// that make no sense for cores or memory are refused below.
var quantityRE = regexp.MustCompile(`^([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([a-zA-Z]*|[eE][-+]?[0-9]{1,2})$`)

const (
	minMemory = 16 << 20
	maxMemory = 16 << 40
	maxCPU    = 256_000
)

// cpu is cores as a Kubernetes quantity, to a thousandth: "500m", "2", 0.5.
func cpu() *strict.Kind {
	const next = "use cores such as 2 or 0.5, or thousandths such as 500m"
	return &strict.Kind{Form: strict.EitherForm,
		Schema: map[string]any{"anyOf": []any{
			map[string]any{"type": "string", "pattern": `^([0-9]+(\.[0-9]*)?|\.[0-9]+)m?$`},
			map[string]any{"type": "number", "minimum": 0.001, "maximum": maxCPU / 1000}}},
		Parse: func(s string) (any, strict.Mistake) {
			m := quantityRE.FindStringSubmatch(s)
			if m == nil || m[2] != "" && m[2] != "m" {
				return nil, strict.Mistake{Message: "is no number of cores", Next: next}
			}
			v, err := strconv.ParseFloat(m[1], 64)
			if m[2] == "" {
				v *= 1000
			}
			// 0.29·1000 is not whole in binary: a thousandth of the unit is forgiven
			milli := math.Round(v)
			switch {
			case err != nil || v > maxCPU || milli < 1:
				return nil, strict.Mistake{Message: "is out of range", Next: fmt.Sprintf("use 1m to %d cores", maxCPU/1000)}
			case math.Abs(v-milli) > 1e-3:
				return nil, strict.Mistake{Message: "is finer than a thousandth of a core", Next: fmt.Sprintf("use %dm", int(math.Ceil(v)))}
			}
			return int(milli), strict.Mistake{}
		}}
}

// memory is what a process may take.
func memory() *strict.Kind { return size(minMemory, maxMemory, "256Mi") }

// size is bytes as a Kubernetes quantity: "256Mi", "1G", 268435456. A fraction of a byte is
// rounded up, as Kubernetes does.
func size(low, high int64, example string) *strict.Kind {
	next := "use a number with Mi or Gi, such as " + example
	if high < 1<<30 {
		next = "use a number with Ki or Mi, such as " + example
	}
	return &strict.Kind{Form: strict.EitherForm,
		Schema: map[string]any{"anyOf": []any{
			map[string]any{"type": "string", "pattern": `^([0-9]+(\.[0-9]*)?|\.[0-9]+)([kMGT]|[KMGT]i|[eE][-+]?[0-9]{1,2})?$`},
			map[string]any{"type": "number", "minimum": low, "maximum": high}}},
		Parse: func(s string) (any, strict.Mistake) {
			m := quantityRE.FindStringSubmatch(s)
			if m == nil {
				return nil, strict.Mistake{Message: "is no amount of memory", Next: next}
			}
			factor, ok := memoryFactor(m[2])
			switch {
			case m[2] == "m":
				return nil, strict.Mistake{Message: "has the suffix m, which is a thousandth of a byte", Next: "did you mean " + m[1] + "Mi?"}
			case !ok && strings.HasSuffix(strings.ToLower(m[2]), "b"):
				return nil, strict.Mistake{Message: "is no amount of memory", Next: "write the suffix without B: 256Mi, 2Gi"}
			case !ok:
				return nil, strict.Mistake{Message: "is no amount of memory", Next: next}
			}
			v, err := strconv.ParseFloat(m[1], 64)
			bytes := math.Ceil(v * factor)
			if err != nil || bytes < float64(low) || bytes > float64(high) {
				return nil, strict.Mistake{Message: "is out of range", Next: fmt.Sprintf("use %s to %s", printBytes(low), printBytes(high))}
			}
			return int64(bytes), strict.Mistake{}
		}}
}

// memoryFactor is the factor of a suffix: decimal, binary or an exponent.
func memoryFactor(suffix string) (float64, bool) {
	switch suffix {
	case "":
		return 1, true
	case "k":
		return 1e3, true
	case "M":
		return 1e6, true
	case "G":
		return 1e9, true
	case "T":
		return 1e12, true
	case "Ki":
		return 1 << 10, true
	case "Mi":
		return 1 << 20, true
	case "Gi":
		return 1 << 30, true
	case "Ti":
		return 1 << 40, true
	}
	v, err := strconv.ParseFloat("1"+suffix, 64)
	return v, err == nil
}

// printBytes writes bytes with the largest binary suffix that divides them.
func printBytes(n int64) string {
	for _, s := range []string{"Ti", "Gi", "Mi", "Ki"} {
		factor, _ := memoryFactor(s)
		if unit := int64(factor); n%unit == 0 {
			return strconv.FormatInt(n/unit, 10) + s
		}
	}
	return strconv.FormatInt(n, 10)
}

// printCPU writes thousandths of a core as a quantity.
func printCPU(milli int) string {
	if milli%1000 == 0 {
		return strconv.Itoa(milli / 1000)
	}
	return strconv.Itoa(milli) + "m"
}
