// Package audit makes of the record of events a log that cannot be rewritten unseen: what
// a leaf of it is, who signs it, what a bundle for an auditor holds, and how all of it is
// verified. It neither stores nor sends.
package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/slipway-ml/slipway"
)

// Record is an event with its place: Seq counts from 1 without gaps. Its leaf has the
// index Seq-1 in the log.
type Record struct {
	Seq int64
	slipway.Event
}

// maxLeaf is what fits into a leaf, in bytes: its length has 16 bits (C2SP tlog-tiles).
const maxLeaf = 1<<16 - 1

// own is an event as the platform knows it, with nothing lost: OCSF counts in milliseconds
// and has no field for our details.
type own struct {
	Seq     int64             `json:"seq"`
	ID      string            `json:"id"`
	Time    string            `json:"time"` // RFC 3339 in UTC, to the microsecond
	Actor   string            `json:"actor"`
	Action  string            `json:"action"`
	Subject string            `json:"subject"`
	Detail  map[string]string `json:"detail,omitempty"`
	// Digest stands for details that do not fit into a leaf.
	Digest slipway.Digest `json:"detail_digest,omitempty"`
}

const timeForm = "2006-01-02T15:04:05.000000Z"

// Leaf is the one form of an event in the log: an OCSF event as canonical JSON (RFC 8785).
// The same event gives the same bytes, whoever makes them.
func Leaf(r Record) ([]byte, error) {
	o := own{Seq: r.Seq, ID: r.ID, Time: r.Time.UTC().Format(timeForm), Actor: r.Actor, Action: r.Action, Subject: r.Subject, Detail: r.Detail}
	leaf, err := o.leaf(r.Time)
	if err == nil && len(leaf) > maxLeaf {
		detail, err := canonical(r.Detail)
		if err != nil {
			return nil, err
		}
		o.Detail, o.Digest = nil, slipway.DigestOf(detail)
		return o.fitting(r.Time)
	}
	return leaf, err
}

func (o own) fitting(t time.Time) ([]byte, error) {
	leaf, err := o.leaf(t)
	if err == nil && len(leaf) > maxLeaf {
		err = fmt.Errorf("event %d has %d bytes without its details", o.Seq, len(leaf))
	}
	return leaf, err
}

func (o own) leaf(t time.Time) ([]byte, error) {
	e := ocsf(o, t)
	e.Unmapped.Slipway = o
	return canonical(e)
}

// canonical is the JSON of a value in the form of RFC 8785.
func canonical(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	value := jsontext.Value(b)
	err = value.Canonicalize()
	return value, err
}

// ParseLeaf gives the event of a leaf. It refuses bytes that Leaf would not have made of
// it, so that no two leaves say the same.
func ParseLeaf(leaf []byte) (Record, error) {
	var e struct {
		Unmapped struct {
			Slipway own `json:"slipway"`
		} `json:"unmapped"`
	}
	if len(leaf) > maxLeaf {
		return Record{}, fmt.Errorf("%d bytes are too many", len(leaf))
	}
	if err := json.Unmarshal(leaf, &e); err != nil {
		return Record{}, fmt.Errorf("it is no JSON: %w", err)
	}
	o := e.Unmapped.Slipway
	t, err := time.Parse(timeForm, o.Time)
	if err != nil {
		return Record{}, fmt.Errorf("it has no time: %w", err)
	}
	again, err := o.leaf(t)
	if err != nil || !bytes.Equal(again, leaf) {
		return Record{}, fmt.Errorf("it is not the form of an event")
	}
	return Record{Seq: o.Seq, Event: slipway.Event{ID: o.ID, Time: t, Actor: o.Actor, Action: o.Action, Subject: o.Subject, Detail: o.Detail}}, nil
}
