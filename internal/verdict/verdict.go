// Package verdict is the one answer every check gives, and the fold to a decision.
package verdict

import "fmt"

// Verdict is what a check says. The zero value is Unknown, and Unknown never promotes:
// a check that forgot to answer holds.
type Verdict int

// The verdicts, in the order in which a fold prefers them: the worst wins, and Unknown
// is worse than Warn.
const (
	Unknown Verdict = iota
	Pass
	Warn
	Fail
)

var names = [...]string{"unknown", "pass", "warn", "fail"}

// String is the verdict's name.
func (v Verdict) String() string {
	if v < 0 || int(v) >= len(names) {
		return fmt.Sprintf("Verdict(%d)", int(v))
	}
	return names[v]
}

// MarshalText prints the name.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads the name.
func (v *Verdict) UnmarshalText(b []byte) error {
	for i, n := range names {
		if n == string(b) {
			*v = Verdict(i)
			return nil
		}
	}
	return fmt.Errorf("unknown verdict %q", b)
}

// Result is one check's answer: what was judged, the verdict, and a sentence with the
// figures behind it.
type Result struct {
	Check   string  `json:"check"`
	Verdict Verdict `json:"verdict"`
	Message string  `json:"message"`
	Next    string  `json:"next,omitempty"`
}

// Fold gives the worst verdict: fail, then unknown, then warn, then pass. No results at
// all are Unknown.
func Fold(results []Result) Verdict {
	rank := [...]int{Unknown: 2, Pass: 0, Warn: 1, Fail: 3}
	if len(results) == 0 {
		return Unknown
	}
	worst := Pass
	for _, r := range results {
		if rank[r.Verdict] > rank[worst] {
			worst = r.Verdict
		}
	}
	return worst
}
