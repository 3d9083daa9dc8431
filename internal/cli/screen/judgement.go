package screen

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/eprocess"
	"github.com/slipway-ml/slipway/internal/spec"
)

// Judgement is a rollout's judgement in a few lines. Evidence is told as odds: at 1 it
// says nothing, at 1/alpha it rolls back.
func Judgement(raw json.RawMessage) []string {
	if len(raw) == 0 {
		return nil
	}
	var j eprocess.Judgement
	if json.Unmarshal(raw, &j) != nil || j.Threshold <= 0 {
		return nil
	}
	against := fmt.Sprintf("evidence against it: %s of %s", factor(j.LogE), factor(j.Threshold))
	if j.Crossed {
		against = fmt.Sprintf("evidence against it reached %s (limit %s)", factor(j.LogE), factor(j.Threshold))
	}
	switch {
	case j.Judge != "":
		against += ", judged by " + judgeText(j.Judge)
	case len(j.Judges) > 0 && j.LogE > 0:
		most := 0
		for i, e := range j.Judges {
			if math.Log(e.Weight)+e.LogE > math.Log(j.Judges[most].Weight)+j.Judges[most].LogE {
				most = i
			}
		}
		against += ", most by " + judgeText(j.Judges[most].Name)
	}
	lines := []string{against, "candidate " + outcomes(j.Candidate)}
	if j.Stable.Requests > 0 {
		lines = append(lines, "stable    "+outcomes(j.Stable))
	}
	if j.Held {
		lines = append(lines, "stable itself fails more often than allowed: the absolute judge is held back")
	}
	return lines
}

func outcomes(c eprocess.Counts) string {
	share := func(n uint64) string {
		if c.Requests == 0 {
			return "0"
		}
		return fmt.Sprintf("%s (%.2g %%)", count(n), 100*float64(n)/float64(c.Requests))
	}
	return fmt.Sprintf("%s request%s: failed %s, slow %s, rejected %s", count(c.Requests), plural(c.Requests), share(c.Failed), share(c.Slow), share(c.Rejected))
}

func judgeText(name string) string {
	switch name {
	case eprocess.JudgeErrors:
		return "failures compared with stable"
	case eprocess.JudgeSlow:
		return "slow answers compared with stable"
	case eprocess.JudgeAbsolute:
		return "failures against the allowed share"
	case eprocess.JudgeRejected:
		return "rejected requests compared with stable"
	default:
		return name
	}
}

// Provisional says what a first deployment still has to prove.
func Provisional(e api.Endpoint) string {
	const since = "provisional: "
	n := cleanRequests(e)
	if n == 0 {
		return since + "it is about to be confirmed"
	}
	return fmt.Sprintf("%s%s more request%s without a failure confirm it; until then failures withdraw it", since, count(n), plural(n))
}

// confirmLevel is the probability of a false confirmation that rollouts are run with,
// while the judgement has not told its own.
const confirmLevel = 0.05

// cleanRequests is how many requests without a failure confirm a provisional endpoint
// from where its evidence stands, at least.
func cleanRequests(e api.Endpoint) uint64 {
	var j eprocess.Judgement
	_ = json.Unmarshal(e.Judgement, &j) // without one, nothing is proved yet
	have, need := 0.0, -math.Log(confirmLevel)
	if j.Confirm != nil && j.Confirm.Threshold > 0 {
		have, need = j.Confirm.LogE, math.Min(j.Confirm.Threshold, 20)
	}
	test := eprocess.NewTest(eprocess.Absolute(spec.Tier(e.Tier).P0()), eprocess.Promotion(), math.Inf(1))
	var missing uint64
	for test.LogE() < need && missing < 1e6 {
		if test.LogE() >= have {
			missing++
		}
		test.Apply(eprocess.Events{N: 1})
	}
	return missing
}
