// Package record writes what was logged in a run as bytes, in two forms of our own, since a
// page of a thousand runs has to be read in milliseconds. A number is a varint
// (encoding/binary), with a sign zigzag; a text its length and its bytes; a value the eight
// bytes of its float64, little-endian.
//
// A state is the number of its format, the number of metrics, each as key, id, step, timestamp and
// value; the number of params and then of tags, each as key and value. The id names a
// metric in the measurements of its run.
//
// Measurements have no format before them, so that they can be appended to: each is an id,
// step and timestamp as differences from those of the one before, and value. The first
// differs from zero.
package record

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/slipway-ml/slipway/internal/tracking"
)

const stateFormat = 1

// ErrDamaged is the answer to bytes that are no record.
var ErrDamaged = errors.New("what was logged in a run cannot be read")

// State is what is logged in a run, with the ids of its metrics beside them.
type State struct {
	tracking.State

	IDs []uint64 // of Metrics, one each
}

// ID finds the id of a metric, 0 if it has none.
func (s *State) ID(key string) uint64 {
	for i := range s.Metrics {
		if s.Metrics[i].Key == key {
			return s.IDs[i]
		}
	}
	return 0
}

// With is a state after a change, in which new metrics get the next ids.
func (s *State) With(now tracking.State) State {
	out := State{State: now, IDs: make([]uint64, len(now.Metrics))}
	next, old := uint64(len(s.Metrics)), 0
	for i, m := range now.Metrics {
		if old < len(s.Metrics) && s.Metrics[old].Key == m.Key {
			out.IDs[i] = s.IDs[old]
			old++
			continue
		}
		next++
		out.IDs[i] = next
	}
	return out
}

// Encode writes a state.
func (s *State) Encode() []byte {
	b := make([]byte, 0, 64+48*(len(s.Metrics)+len(s.Params)+len(s.Tags)))
	b = append(b, stateFormat)
	b = binary.AppendUvarint(b, uint64(len(s.Metrics)))
	for i, m := range s.Metrics {
		b = appendText(b, m.Key)
		b = binary.AppendUvarint(b, s.IDs[i])
		b = binary.AppendVarint(b, m.Step)
		b = binary.AppendVarint(b, m.Timestamp)
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(m.Value))
	}
	b = binary.AppendUvarint(b, uint64(len(s.Params)))
	for _, p := range s.Params {
		b = appendText(appendText(b, p.Key), p.Value)
	}
	b = binary.AppendUvarint(b, uint64(len(s.Tags)))
	for _, t := range s.Tags {
		b = appendText(appendText(b, t.Key), t.Value)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// DecodeState is the inverse of Encode. Its texts share one copy of b.
func DecodeState(b []byte) (s State, err error) {
	r := reader{b: b, s: string(b)}
	if f := r.byte(); f != stateFormat {
		return s, ErrDamaged
	}
	if n := r.count(12); n > 0 {
		s.Metrics, s.IDs = make([]tracking.Metric, n), make([]uint64, n)
	}
	for i := range s.Metrics {
		m := &s.Metrics[i]
		m.Key, s.IDs[i] = r.text(), r.uvarint()
		m.Step, m.Timestamp, m.Value = r.varint(), r.varint(), r.float()
	}
	if n := r.count(2); n > 0 {
		s.Params = make([]tracking.Param, n)
	}
	for i := range s.Params {
		s.Params[i] = tracking.Param{Key: r.text(), Value: r.text()}
	}
	if n := r.count(2); n > 0 {
		s.Tags = make([]tracking.Tag, n)
	}
	for i := range s.Tags {
		s.Tags[i] = tracking.Tag{Key: r.text(), Value: r.text()}
	}
	if r.bad || len(r.b) != r.at {
		return State{}, ErrDamaged
	}
	return s, nil
}

// Point is a measurement of the metric that ID names.
type Point struct {
	ID         uint64
	Step, Time int64
	Value      float64
}

// AppendPoint adds a measurement after another, or after the zero one.
func AppendPoint(b []byte, before, p Point) []byte {
	b = binary.AppendUvarint(b, p.ID)
	b = binary.AppendVarint(b, p.Step-before.Step) // wraps around and back
	b = binary.AppendVarint(b, p.Time-before.Time)
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(p.Value))
}

// Points reads measurements and gives each to use, in their order.
func Points(b []byte, use func(Point)) error {
	r := reader{b: b}
	var p Point
	for r.at < len(r.b) {
		p.ID = r.uvarint()
		p.Step += r.varint()
		p.Time += r.varint()
		p.Value = r.float()
		if r.bad {
			return ErrDamaged
		}
		use(p)
	}
	return nil
}

// reader reads from bytes; after an error it is bad and gives zeros. s, if there is one, is
// a copy of b.
type reader struct {
	b   []byte
	s   string
	at  int
	bad bool
}

func (r *reader) byte() byte {
	if r.at >= len(r.b) {
		r.bad = true
		return 0
	}
	r.at++
	return r.b[r.at-1]
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b[r.at:])
	if n <= 0 {
		r.bad, r.at = true, len(r.b)
		return 0
	}
	r.at += n
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b[r.at:])
	if n <= 0 {
		r.bad, r.at = true, len(r.b)
		return 0
	}
	r.at += n
	return v
}

func (r *reader) float() float64 {
	if len(r.b)-r.at < 8 {
		r.bad, r.at = true, len(r.b)
		return 0
	}
	r.at += 8
	return math.Float64frombits(binary.LittleEndian.Uint64(r.b[r.at-8:]))
}

func (r *reader) text() string {
	n := r.uvarint()
	if n > uint64(len(r.b)-r.at) {
		r.bad, r.at = true, len(r.b)
		return ""
	}
	r.at += int(n)
	return r.s[r.at-int(n) : r.at]
}

// count reads a number of elements, of which each has at least size bytes.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64((len(r.b)-r.at)/size) {
		r.bad, r.at = true, len(r.b)
		return 0
	}
	return int(n)
}
