package eprocess

import (
	"slices"

	"github.com/slipway-ml/slipway"
)

// Snapshot is everything a Judge has concluded from closed buckets; it survives JSON
// exactly. Buckets that are open are left out, each as a whole and for both arms: to lose
// requests of one arm only would be evidence that nobody gave.
type Snapshot struct {
	Config    Config `json:"config"`
	Origin    int64  `json:"origin"` // first closed bucket, -1 for none
	Closed    int64  `json:"closed"` // last closed bucket, -1 for none
	Buckets   uint64 `json:"buckets"`
	Stable    Counts `json:"stable"`
	Candidate Counts `json:"candidate"`
	Finding
	Evidence map[string][][]float64 `json:"evidence"` // by judge: rows by start, a column for each bet
}

// Snapshot copies the state as of the last closed bucket.
func (j *Judge) Snapshot() Snapshot {
	s := Snapshot{Config: j.config, Origin: j.origin, Closed: j.closed, Buckets: j.buckets,
		Stable: j.counts[Stable], Candidate: j.counts[Candidate], Finding: j.found,
		Evidence: map[string][][]float64{}}
	for _, m := range j.family {
		s.Evidence[m.name] = m.evidence.State()
	}
	for name, w := range j.watched() {
		s.Evidence[name] = [][]float64{w.State()}
	}
	return s
}

type watch interface {
	State() []float64
	Restore([]float64) bool
}

// watched is the evidence outside the family, each of one row.
func (j *Judge) watched() map[string]watch {
	if j.confirm != nil {
		return map[string]watch{watchConfirm: j.confirm}
	}
	return map[string]watch{watchStable: j.stable}
}

// Restore continues a rollout's evidence after a restart, with no bucket open; tickets of
// before mean nothing to it, and requests for a bucket that is closed are ignored. A
// snapshot that cannot be of a Judge is an error.
func Restore(s Snapshot) (*Judge, error) {
	j, err := NewJudge(s.Config)
	if err != nil {
		return nil, err
	}
	for _, m := range j.family {
		if state, ok := s.Evidence[m.name]; !ok || !m.evidence.Restore(state) {
			return nil, damaged("evidence." + m.name)
		}
	}
	watched := j.watched()
	for name, w := range watched {
		if rows := s.Evidence[name]; len(rows) != 1 || !w.Restore(rows[0]) {
			return nil, damaged("evidence." + name)
		}
	}
	named := slices.ContainsFunc(j.family, func(m judge) bool { return m.name == s.Judge })
	switch {
	case len(s.Evidence) != len(j.family)+len(watched):
		return nil, damaged("evidence")
	case s.Closed < -1 || s.Origin < -1 || s.Origin > s.Closed || (s.Origin < 0) != (s.Closed < 0):
		return nil, damaged("closed")
	case !s.Stable.sound() || !s.Candidate.sound():
		return nil, damaged("counts")
	case s.Crossed != named:
		return nil, damaged("judge")
	}
	j.origin, j.closed, j.buckets, j.found = s.Origin, s.Closed, s.Buckets, s.Finding
	j.counts = [2]Counts{Stable: s.Stable, Candidate: s.Candidate}
	return j, nil
}

func damaged(field string) error {
	return &slipway.Error{Code: slipway.CodeInvalid, Kind: slipway.Invalid, Field: field,
		Message: "is not the state of a rollout's evidence",
		Next:    "delete the snapshot and start a new attempt of the deployment"}
}
