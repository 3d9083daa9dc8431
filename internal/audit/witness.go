package audit

import (
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"github.com/slipway-ml/slipway"
)

// Witnessed is what a witness has seen of a log. The key is the first that it was shown:
// another one is another log.
type Witnessed struct {
	Log        string `json:"log"`
	Key        string `json:"key"`
	By         string `json:"by"` // whose token showed it first
	Size       uint64 `json:"size"`
	Root       []byte `json:"root"`
	Checkpoint string `json:"checkpoint"` // cosigned
}

// Cosign looks at a checkpoint that is shown with a proof that it grew from the size that
// the witness has seen, and cosigns it if that holds. It answers Conflict with what was
// seen when the proof begins elsewhere, and CodeAuditAnchor for another history.
func Cosign(signer note.Signer, seen Witnessed, key, by string, checkpoint []byte, from uint64, proof [][]byte) (Witnessed, error) {
	public, err := ParsePublic(key)
	if err != nil {
		return seen, err
	}
	c, err := public.Checkpoint(checkpoint)
	if err != nil {
		return seen, diverged("%v", err)
	}
	if seen.Log != "" && seen.Key != key {
		return seen, diverged("the log %s had another key before", public.Name())
	}
	if from != seen.Size {
		return seen, slipway.Errorf(slipway.Conflict, slipway.CodeConflict, "prove it from there", "the witness has seen %d events", seen.Size)
	}
	if seen.Log != "" {
		if err := Consistent(Checkpoint{Size: seen.Size, Root: seen.Root}, c, proof); err != nil {
			return seen, diverged("the log of %d events is not the one that had %d: %v", c.Size, seen.Size, err)
		}
	}
	n, err := note.Open(checkpoint, note.VerifierList(public.verifier))
	if err != nil {
		return seen, err
	}
	n.UnverifiedSigs = nil // what others have signed is theirs to keep
	text, err := note.Sign(n, signer)
	if err != nil {
		return seen, err
	}
	next := Witnessed{Log: public.Name(), Key: key, By: by, Size: c.Size, Root: c.Root, Checkpoint: string(text)}
	if seen.By != "" {
		next.By = seen.By
	}
	return next, nil
}

func diverged(format string, args ...any) error {
	return slipway.Errorf(slipway.Conflict, slipway.CodeAuditAnchor, "platform audit verify, where that log is", "the checkpoint is not witnessed: %s", fmt.Sprintf(format, args...))
}
