package spec

import (
	"bytes"
	"encoding/json"
)

// canonical has the shape of the file, in one order, with every default written out.
type canonical struct {
	APIVersion  string              `json:"apiVersion"`
	Kind        string              `json:"kind"`
	Name        string              `json:"name"`
	Description string              `json:"description,omitempty"`
	Tier        Tier                `json:"tier"`
	Owner       canonicalOwner      `json:"owner"`
	Model       canonicalModel      `json:"model"`
	Validation  canonicalValidation `json:"validation,omitzero"`
	Resources   canonicalResources  `json:"resources"`
	Scaling     canonicalScaling    `json:"scaling"`
	Rollout     canonicalRollout    `json:"rollout"`
}

type canonicalOwner struct {
	Team    string `json:"team"`
	Contact string `json:"contact,omitempty"`
}

type canonicalModel struct {
	Name    string   `json:"name"`
	Source  string   `json:"source"`
	Command []string `json:"command,omitempty"`
}

type canonicalValidation struct {
	Golden  *canonicalGolden  `json:"golden,omitempty"`
	Dataset *canonicalDataset `json:"dataset,omitempty"`
	Metrics []canonicalMetric `json:"metrics,omitempty"`
}

type canonicalGolden struct {
	File      string  `json:"file"`
	Tolerance float64 `json:"tolerance"`
}

type canonicalDataset struct {
	File    string `json:"file"`
	Target  string `json:"target"`
	MinRows int    `json:"min_rows"`
}

type canonicalMetric struct {
	Name string   `json:"name"`
	Min  *float64 `json:"min,omitempty"`
	Max  *float64 `json:"max,omitempty"`
}

type canonicalResources struct {
	CPU    string `json:"cpu"`
	Memory string `json:"memory"`
}

type canonicalScaling struct {
	Replicas int `json:"replicas"`
}

type canonicalRollout struct {
	Steps            []canonicalStep `json:"steps"`
	OnFailure        string          `json:"on_failure"`
	OnNoData         string          `json:"on_no_data"`
	KeepPreviousWarm string          `json:"keep_previous_warm"`
	Deadline         string          `json:"deadline"`
}

type canonicalStep struct {
	Weight      float64 `json:"weight"`
	Hold        string  `json:"hold"`
	MinRequests int     `json:"min_requests"`
}

// Canonical is the stored record: one line of JSON in the shape of the file, all defaults
// written out, the same bytes for the same Spec. Load reads it back to an equal Spec,
// except that every value then comes from the file.
func (s *Spec) Canonical() []byte {
	c := canonical{
		APIVersion: APIVersion, Kind: RealtimeModel,
		Name: s.Name, Description: s.Description, Tier: s.Tier, Owner: canonicalOwner(s.Owner),
		Model:     canonicalModel{Name: s.Model.Name, Source: s.Model.Source.String(), Command: s.Model.Command},
		Resources: canonicalResources{CPU: printCPU(s.Resources.MilliCPU), Memory: printBytes(s.Resources.MemoryBytes)},
		Scaling:   canonicalScaling{s.Replicas},
		Rollout: canonicalRollout{OnFailure: s.Rollout.OnFailure, OnNoData: s.Rollout.OnNoData,
			KeepPreviousWarm: printDuration(s.Rollout.KeepPreviousWarm), Deadline: printDuration(s.Rollout.Deadline)},
	}
	c.Validation.Golden = (*canonicalGolden)(s.Validation.Golden)
	c.Validation.Dataset = (*canonicalDataset)(s.Validation.Dataset)
	for _, m := range s.Validation.Metrics {
		cm := canonicalMetric{Name: m.Name, Max: &m.Bound}
		if m.HigherIsBetter {
			cm.Min, cm.Max = &m.Bound, nil
		}
		c.Validation.Metrics = append(c.Validation.Metrics, cm)
	}
	for _, st := range s.Rollout.Steps {
		c.Rollout.Steps = append(c.Rollout.Steps, canonicalStep{st.Weight, printDuration(st.Hold), st.MinRequests})
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(c); err != nil {
		panic(err) // strings and finite numbers always encode
	}
	return b.Bytes()
}
