package eprocess

import "math"

// Judgement is the evidence so far, for people and as JSON.
type Judgement struct {
	Finding
	LogE      float64           `json:"log_e"`     // combined, natural logarithm
	Threshold float64           `json:"threshold"` // of LogE, ln(1/alpha)
	Alpha     float64           `json:"alpha"`
	Judges    []JudgeEvidence   `json:"judges"`
	Stable    Counts            `json:"stable"`
	Candidate Counts            `json:"candidate"`
	Confirm   *ConfirmJudgement `json:"confirm,omitempty"`
	Buckets   uint64            `json:"buckets"` // closed, with requests
}

// JudgeEvidence is what one judge of the family holds against the candidate.
type JudgeEvidence struct {
	Name   string  `json:"name"`
	Weight float64 `json:"weight"`
	LogE   float64 `json:"log_e"`
}

// ConfirmJudgement is the evidence that a first deployment fails less often than allowed.
type ConfirmJudgement struct {
	LogE      float64 `json:"log_e"`
	Threshold float64 `json:"threshold"` // ln(1/beta)
	Beta      float64 `json:"beta"`
}

// Judgement gives the figures of all closed buckets.
func (j *Judge) Judgement() Judgement {
	logE := j.logE()
	combined, _ := Combine(j.weights, logE)
	v := Judgement{
		Finding: j.found, LogE: combined, Threshold: -math.Log(j.config.Alpha), Alpha: j.config.Alpha,
		Stable: j.counts[Stable], Candidate: j.counts[Candidate], Buckets: j.buckets,
	}
	for k, m := range j.family {
		v.Judges = append(v.Judges, JudgeEvidence{m.name, j.weights[k], logE[k]})
	}
	if j.confirm != nil {
		v.Confirm = &ConfirmJudgement{j.confirm.LogE(), -math.Log(j.config.Beta), j.config.Beta}
	}
	return v
}
