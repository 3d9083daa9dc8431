package audit

import "fmt"

// Verdicts of a finding.
const (
	Pass = "pass"
	Warn = "warn"
	Fail = "fail"
)

// Finding is what a verification found. Seq is the event that it is about, or 0.
type Finding struct {
	Check   string
	Verdict string
	Seq     int64
	Message string
	Next    string
}

// maxFindings bounds how much wrong is told in detail: after that it is the log that is
// wrong.
const maxFindings = 100

// Findings collects what is wrong.
type Findings struct {
	List []Finding
	left int
}

// Fail notes something wrong, about an event unless seq is 0.
func (f *Findings) Fail(check string, seq int64, format string, args ...any) {
	if len(f.List) >= maxFindings {
		f.left++
		return
	}
	f.List = append(f.List, Finding{Check: check, Verdict: Fail, Seq: seq, Message: fmt.Sprintf(format, args...)})
}

// Warn notes what an auditor has to know.
func (f *Findings) Warn(check, next, format string, args ...any) {
	f.List = append(f.List, Finding{Check: check, Verdict: Warn, Message: fmt.Sprintf(format, args...), Next: next})
}

// Pass notes that a check found nothing wrong, unless it did.
func (f *Findings) Pass(check, format string, args ...any) {
	if !f.Failed(check) {
		f.List = append(f.List, Finding{Check: check, Verdict: Pass, Message: fmt.Sprintf(format, args...)})
	}
}

// Failed says whether a check, or any if it is empty, found something wrong.
func (f *Findings) Failed(check string) bool {
	for _, g := range f.List {
		if g.Verdict == Fail && (check == "" || g.Check == check) {
			return true
		}
	}
	return false
}

// All is the list, with a word about those that were left out.
func (f *Findings) All() []Finding {
	if f.left > 0 {
		return append(f.List, Finding{Check: "more", Verdict: Fail, Message: fmt.Sprintf("%d more findings like these", f.left)})
	}
	return f.List
}

// The checks.
const (
	CheckSeal         = "seal"
	CheckSignature    = "signature"
	CheckInclusion    = "inclusion"
	CheckConsistency  = "consistency"
	CheckCompleteness = "completeness"
	CheckRevisions    = "revisions"
	CheckAnchors      = "anchors"
	CheckFiles        = "files"
	CheckDevelopment  = "development"
)
