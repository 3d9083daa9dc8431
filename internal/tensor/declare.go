package tensor

import (
	"slices"

	"github.com/slipway-ml/slipway"
)

// Bounds are what is declared of an input beyond the model's signature. Enum has elements as
// JSON shows them without quotes; Min and Max are of numbers, and allowed themselves.
type Bounds struct {
	Enum    []string `json:"enum,omitempty"`
	Min     *float64 `json:"min,omitempty"`
	Max     *float64 `json:"max,omitempty"`
	Missing string   `json:"missing,omitempty"` // Refuse: no NaN; empty allows it
}

// Declared is what platform.yaml says of a model's inputs. Unknown is what becomes of those
// that the model does not take: Refuse or Drop; empty is the way of each protocol: Open
// Inference refuses them, MLflow drops them.
type Declared struct {
	Unknown string            `json:"unknown,omitempty"`
	Columns map[string]Bounds `json:"columns,omitempty"`
}

// What becomes of values.
const (
	Refuse = "refuse"
	Drop   = "drop"
)

// IsZero tells whether nothing is declared.
func (d Declared) IsZero() bool { return d.Unknown == "" && len(d.Columns) == 0 }

// Declare puts what is declared into the schema. It answers, by the name of the column in
// Field, what cannot be of this model's inputs.
func (s *Schema) Declare(d Declared) []*slipway.Error {
	var wrong []*slipway.Error
	s.Unknown = d.Unknown
	for name, bounds := range d.Columns {
		i := slices.IndexFunc(s.Inputs, func(f Field) bool { return f.Name == name })
		var err *slipway.Error
		if i < 0 {
			err = misfit("name an input of the model's signature", "is no input of this model")
		} else {
			err = s.Inputs[i].declare(bounds)
		}
		if err != nil {
			wrong = append(wrong, at(name, err))
		}
	}
	slices.SortFunc(wrong, func(a, b *slipway.Error) int {
		if a.Field < b.Field {
			return -1
		}
		return 1
	})
	return wrong
}

func (f *Field) declare(b Bounds) *slipway.Error {
	switch {
	case (b.Min != nil || b.Max != nil) && (f.Type == Bytes || f.Type == Bool):
		return misfit("remove min and max, or declare enum", "has min or max, and is %s, no number", f.Type)
	case b.Missing != "" && !f.Type.Float():
		return misfit("remove missing", "is %s, which cannot be missing anyway", f.Type)
	}
	enum := make([]string, 0, len(b.Enum))
	for _, value := range b.Enum {
		text, ok := f.Type.Element(value)
		if !ok {
			return misfit("list values of that type", "has a value in enum that is no %s", f.Type)
		}
		enum = append(enum, text)
	}
	slices.Sort(enum)
	if f.Bounds = b; len(enum) > 0 {
		f.Enum = slices.Compact(enum)
	}
	return nil
}
