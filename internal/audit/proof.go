package audit

import (
	"fmt"

	"github.com/slipway-ml/slipway"
)

// Proof shows that an event is in the log.
type Proof struct {
	Leaf       []byte
	Index      uint64
	Hashes     [][]byte
	Checkpoint []byte
	Key        string // the log's public key
}

// Verify gives the event if it is in the log that the checkpoint is of. A key that is known
// from elsewhere must be the proof's.
func (p Proof) Verify(key string) (Record, error) {
	if key != "" && key != p.Key {
		return Record{}, wrong("it is of a log with another key than yours")
	}
	public, err := ParsePublic(p.Key)
	if err != nil {
		return Record{}, err
	}
	c, err := public.Checkpoint(p.Checkpoint)
	if err != nil {
		return Record{}, wrong(err.Error())
	}
	if err := Included(p.Leaf, p.Index, p.Hashes, c); err != nil {
		return Record{}, wrong(fmt.Sprintf("the event is not in the log of %d events: %v", c.Size, err))
	}
	r, err := ParseLeaf(p.Leaf)
	if err != nil || r.Seq != int64(p.Index)+1 {
		return Record{}, wrong("the leaf is no event of that place")
	}
	return r, nil
}

func wrong(why string) error {
	return slipway.Errorf(slipway.Conflict, slipway.CodeAuditFailed, "platform audit verify", "the proof does not hold: %s", why)
}
