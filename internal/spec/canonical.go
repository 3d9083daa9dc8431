package spec

import (
	"bytes"
	"encoding/json"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/spec/strict"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// canonical has the shape of the file, in one order, with every default written out.
type canonical struct {
	APIVersion   string                      `json:"apiVersion"`
	Kind         string                      `json:"kind"`
	Name         string                      `json:"name"`
	Environment  string                      `json:"environment,omitempty"`
	Description  string                      `json:"description,omitempty"`
	Tier         Tier                        `json:"tier"`
	Owner        canonicalOwner              `json:"owner"`
	Model        canonicalModel              `json:"model"`
	Data         canonicalData               `json:"data,omitzero"`
	Inputs       tensor.Declared             `json:"inputs,omitzero"`
	Validation   canonicalValidation         `json:"validation"`
	Resources    canonicalResources          `json:"resources"`
	Scaling      canonicalScaling            `json:"scaling"`
	Network      canonicalNetwork            `json:"network,omitzero"`
	Limits       canonicalLimits             `json:"limits"`
	Secrets      map[string]string           `json:"secrets,omitempty"`
	Rollout      canonicalRollout            `json:"rollout"`
	Environments map[string]canonicalOverlay `json:"environments,omitempty"`
}

type canonicalOwner struct {
	Team    string `json:"team"`
	Contact string `json:"contact,omitempty"`
}

type canonicalModel struct {
	Name      string             `json:"name,omitempty"`
	Source    string             `json:"source"`
	Command   []string           `json:"command,omitempty"`
	Python    string             `json:"python,omitempty"`
	Workers   int                `json:"workers,omitempty"`
	Batching  *canonicalBatching `json:"batching,omitempty"`
	External  *canonicalExternal `json:"external,omitempty"`
	Protocol  string             `json:"protocol,omitempty"`
	Health    string             `json:"health,omitempty"`
	Proxy     []string           `json:"proxy,omitempty"`
	Placement string             `json:"placement,omitempty"`
}

type canonicalBatching struct {
	MaxRows int `json:"max_rows"`
}

type canonicalExternal struct {
	URL      string `json:"url"`
	Protocol string `json:"protocol"`
	Model    string `json:"model,omitempty"`
}

type canonicalData struct {
	Classification string              `json:"classification,omitempty"`
	PII            []string            `json:"pii,omitempty"`
	Training       []canonicalTraining `json:"training,omitempty"`
}

// IsZero leaves out a section without values.
func (d canonicalData) IsZero() bool {
	return d.Classification == "" && len(d.PII) == 0 && len(d.Training) == 0
}

type canonicalTraining struct {
	URI    string         `json:"uri"`
	Digest slipway.Digest `json:"digest"`
	Basis  string         `json:"licence_or_basis,omitempty"`
}

type canonicalValidation struct {
	Golden  *canonicalGolden  `json:"golden,omitempty"`
	Dataset *canonicalDataset `json:"dataset,omitempty"`
	Metrics []canonicalMetric `json:"metrics,omitempty"`
	Slices  []canonicalSlice  `json:"slices,omitempty"`
	Schema  canonicalSchema   `json:"schema"`
	Latency *canonicalLatency `json:"latency,omitempty"`
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
	Name          string   `json:"name"`
	Min           *float64 `json:"min,omitempty"`
	Max           *float64 `json:"max,omitempty"`
	MaxRegression *float64 `json:"max_regression_vs_production,omitempty"`
}

type canonicalSlice struct {
	By      string  `json:"by"`
	Metric  string  `json:"metric"`
	MaxGap  float64 `json:"max_gap"`
	MinRows int     `json:"min_rows"`
}

type canonicalSchema struct {
	Compatible string `json:"compatible"`
}

type canonicalLatency struct {
	P95      string `json:"p95"`
	Requests int    `json:"requests"`
}

type canonicalResources struct {
	CPU    string       `json:"cpu,omitempty"`
	Memory string       `json:"memory,omitempty"`
	GPU    canonicalGPU `json:"gpu,omitzero"`
}

type canonicalScaling struct {
	Replicas int `json:"replicas"`
}

type canonicalNetwork struct {
	Callers []string `json:"callers,omitempty"`
}

// IsZero leaves out a section without values.
func (n canonicalNetwork) IsZero() bool { return len(n.Callers) == 0 }

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

type canonicalOverlay struct {
	Resources canonicalResources `json:"resources,omitzero"`
	Scaling   canonicalScaling   `json:"scaling,omitzero"`
	Network   canonicalNetwork   `json:"network,omitzero"`
	Limits    canonicalLimits    `json:"limits,omitzero"`
}

// Canonical is the stored record: one line of JSON in the shape of the file, all defaults
// written out, the same bytes for the same Spec. Its version is apiVersion. After In it is
// the resolved form of one environment, which it names. ReadRecord reads it back to an
// equal Spec, except that every value then comes from the record.
func (s *Spec) Canonical() []byte {
	c := canonical{
		APIVersion: APIVersion, Kind: RealtimeModel, Name: s.Name, Environment: s.Environment,
		Description: s.Description, Tier: s.Tier, Owner: canonicalOwner(s.Owner),
		Model:      s.Model.canonical(),
		Data:       canonicalData{Classification: s.Data.Classification, PII: s.Data.PII},
		Inputs:     s.Inputs,
		Validation: s.Validation.canonical(),
		Resources:  s.Resources.canonical(),
		Scaling:    canonicalScaling{s.Replicas},
		Network:    canonicalNetwork(s.Network),
		Limits:     s.Limits.canonical(),
		Secrets:    s.Secrets,
		Rollout: canonicalRollout{OnFailure: s.Rollout.OnFailure, OnNoData: s.Rollout.OnNoData,
			KeepPreviousWarm: strict.PrintDuration(s.Rollout.KeepPreviousWarm), Deadline: strict.PrintDuration(s.Rollout.Deadline)},
	}
	for _, t := range s.Data.Training {
		c.Data.Training = append(c.Data.Training, canonicalTraining(t))
	}
	for _, st := range s.Rollout.Steps {
		c.Rollout.Steps = append(c.Rollout.Steps, canonicalStep{st.Weight, strict.PrintDuration(st.Hold), st.MinRequests})
	}
	for name, o := range s.Environments {
		if c.Environments == nil {
			c.Environments = map[string]canonicalOverlay{}
		}
		c.Environments[name] = canonicalOverlay{o.Resources.canonical(), canonicalScaling{o.Replicas}, canonicalNetwork(o.Network), o.Limits.canonical()}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(c); err != nil {
		panic(err) // strings and finite numbers always encode
	}
	return b.Bytes()
}

func (m Model) canonical() canonicalModel {
	c := canonicalModel{Source: m.Source.String(), Command: m.Command, Python: m.Python, Workers: m.Workers, Placement: m.Placement,
		External: (*canonicalExternal)(m.External), Protocol: m.Protocol, Health: m.Health, Proxy: m.Proxy}
	if isName(m.Name) { // else Source has it
		c.Name = m.Name
	}
	if m.Workers > 0 {
		c.Batching = &canonicalBatching{m.Batching.MaxRows}
	}
	return c
}

func (v Validation) canonical() canonicalValidation {
	c := canonicalValidation{Golden: (*canonicalGolden)(v.Golden), Dataset: (*canonicalDataset)(v.Dataset),
		Schema: canonicalSchema{v.Compatible}}
	for _, m := range v.Metrics {
		cm := canonicalMetric{Name: m.Name, Max: &m.Bound, MaxRegression: m.MaxRegression}
		if m.HigherIsBetter {
			cm.Min, cm.Max = &m.Bound, nil
		}
		c.Metrics = append(c.Metrics, cm)
	}
	for _, sl := range v.Slices {
		c.Slices = append(c.Slices, canonicalSlice{sl.By, sl.Metric, sl.MaxGap, sl.MinRows})
	}
	if l := v.Latency; l != nil {
		c.Latency = &canonicalLatency{strict.PrintDuration(l.P95), l.Requests}
	}
	return c
}

func (r Resources) canonical() (c canonicalResources) {
	if r.MilliCPU > 0 {
		c.CPU = printCPU(r.MilliCPU)
	}
	if r.MemoryBytes > 0 {
		c.Memory = printBytes(r.MemoryBytes)
	}
	c.GPU = canonicalGPU(r.GPU)
	return c
}
