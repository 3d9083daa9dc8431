package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/slipway-ml/slipway"
)

// BundleFormat is the first thing that a bundle says. It is a text of lines: a header, the
// leaves in their order, and a seal over all bytes before it. All lines but the leaves are
// canonical JSON, which leaves are too.
const BundleFormat = "slipway-audit-bundle/1"

// Bounds of what is read.
const (
	maxHeader = 64 << 20
	maxHashes = 64
	maxSeal   = 16 << 10
)

// Header is what a bundle says before its leaves.
type Header struct {
	Format  string    `json:"format"`
	Log     string    `json:"log"` // its name
	Key     string    `json:"key"` // its public key
	Made    time.Time `json:"made"`
	Version string    `json:"version"` // of the platform
	// Development says that the instance is used with the owner's token of its own machine:
	// its identities prove nothing.
	Development bool `json:"development"`
	// Since and Until are what was asked for. First is the index of the first leaf, and End
	// that behind the last one.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	First uint64    `json:"first"`
	End   uint64    `json:"end"`
	// Checkpoint is a signed note. Left and Right are the roots of the complete subtrees on
	// both sides of the leaves: with them they make its root.
	Checkpoint string     `json:"checkpoint"`
	Left       [][]byte   `json:"left,omitempty"`
	Right      [][]byte   `json:"right,omitempty"`
	Anchors    []Anchored `json:"anchors,omitempty"`
	Revisions  []Revision `json:"revisions,omitempty"`
}

// Anchored is what an anchor knew of the log when the bundle was made.
type Anchored struct {
	Anchor     string    `json:"anchor"`               // where: a bucket, a repository, a witness
	Checkpoint string    `json:"checkpoint,omitempty"` // the newest one that is there
	Proof      [][]byte  `json:"proof,omitempty"`      // that the bundle's checkpoint grew from it
	Witness    string    `json:"witness,omitempty"`    // the public key that cosigned it
	Place      string    `json:"place,omitempty"`      // how to find it there
	Seen       time.Time `json:"seen,omitzero"`
	Problem    string    `json:"problem,omitempty"` // empty: all is well
}

// Revision is one that ran, with the event of its release. Leaf and Proof are given when
// that lies outside the leaves of a bundle.
type Revision struct {
	ID         string         `json:"id"`
	Endpoint   string         `json:"endpoint"`
	Deployment string         `json:"deployment"`
	Image      slipway.Digest `json:"image"`
	Seq        int64          `json:"seq"` // 0: there is no such event
	Leaf       string         `json:"leaf,omitempty"`
	Proof      [][]byte       `json:"proof,omitempty"`
}

// released says whether an event is the release of a revision.
func (r Revision) released(by Record) bool {
	return by.Action == "deployment.released" && by.Subject == r.Deployment && by.Detail["revision"] == r.ID && by.Detail["image"] == string(r.Image)
}

type seal struct {
	Seal string `json:"seal"`
}

// sealText is what is signed of a bundle.
func sealText(sum []byte) string { return BundleFormat + "\n" + hex.EncodeToString(sum) + "\n" }

// BundleWriter writes a bundle, line by line.
type BundleWriter struct {
	out  *bufio.Writer
	sum  hash.Hash
	key  *Key
	left uint64
}

// NewBundle begins a bundle.
func NewBundle(w io.Writer, key *Key, h Header) (*BundleWriter, error) {
	h.Format, h.Log, h.Key = BundleFormat, key.Name(), key.Public()
	b := &BundleWriter{sum: sha256.New(), key: key, left: h.End - h.First}
	b.out = bufio.NewWriterSize(io.MultiWriter(w, b.sum), 64<<10)
	line, err := canonical(h)
	if err != nil {
		return nil, err
	}
	return b, b.line(line)
}

func (b *BundleWriter) line(line []byte) error {
	_, _ = b.out.Write(line)
	return b.out.WriteByte('\n') // the writer remembers its first error
}

// Leaf writes the next leaf.
func (b *BundleWriter) Leaf(leaf []byte) error {
	if b.left == 0 {
		return errors.New("the bundle has all its leaves")
	}
	b.left--
	return b.line(leaf)
}

// Close seals the bundle. Without all its leaves it is not sealed.
func (b *BundleWriter) Close() error {
	if err := b.out.Flush(); err != nil {
		return err
	}
	if b.left > 0 {
		return fmt.Errorf("the bundle lacks %d leaves", b.left)
	}
	signed, err := b.key.Seal(sealText(b.sum.Sum(nil)))
	if err != nil {
		return err
	}
	line, err := canonical(seal{string(signed)})
	if err == nil {
		err = b.line(line)
	}
	return errors.Join(err, b.out.Flush())
}

// reader reads a bundle and sums up what it reads.
type reader struct {
	in     *bufio.Reader
	sum    hash.Hash
	number int // of lines read
}

func newReader(r io.Reader) *reader {
	return &reader{in: bufio.NewReaderSize(r, 64<<10), sum: sha256.New()}
}

// line reads a line of at most limit bytes, without its end. The bytes are good until the
// next call. It is not yet summed up.
func (r *reader) line(limit int) ([]byte, error) {
	r.number++
	var long []byte
	for {
		part, err := r.in.ReadSlice('\n')
		if err == nil && long == nil {
			return part[:len(part)-1], tooLong(len(part), limit)
		}
		long = append(long, part...)
		switch {
		case err == nil:
			return long[:len(long)-1], tooLong(len(long), limit)
		case errors.Is(err, bufio.ErrBufferFull):
			if err := tooLong(len(long), limit); err != nil {
				return nil, err
			}
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("the bundle ends within line %d", r.number)
		default:
			return nil, err
		}
	}
}

func tooLong(n, limit int) error {
	if n > limit+1 {
		return errors.New("the line is too long")
	}
	return nil
}

func (r *reader) count(line []byte) {
	r.sum.Write(line)
	r.sum.Write([]byte{'\n'})
}

// decode reads a value from its canonical JSON and refuses any other form of it.
func decode(line []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	again, err := canonical(v)
	if err == nil && !bytes.Equal(again, line) {
		err = errors.New("it is not in its canonical form")
	}
	return err
}

func (r *reader) header() (h Header, err error) {
	line, err := r.line(maxHeader)
	if err != nil {
		return h, err
	}
	r.count(line)
	if err := decode(line, &h); err != nil {
		return h, fmt.Errorf("the header cannot be read: %w", err)
	}
	switch {
	case h.Format != BundleFormat:
		return h, fmt.Errorf("the format %.40q is not known", h.Format)
	case h.End < h.First || h.End-h.First > 1<<40:
		return h, errors.New("the range of leaves is none")
	case len(h.Left) > maxHashes || len(h.Right) > maxHashes:
		return h, errors.New("there are too many hashes")
	}
	return h, nil
}

// sealed reads the seal and verifies it over all that was counted.
func (r *reader) sealed(p Public) error {
	line, err := r.line(maxSeal)
	if err != nil {
		return err
	}
	var s seal
	if err := decode(line, &s); err != nil {
		return fmt.Errorf("the seal cannot be read: %w", err)
	}
	text, err := p.Open([]byte(s.Seal))
	if err != nil {
		return fmt.Errorf("the seal is not the log's: %w", err)
	}
	if text != sealText(r.sum.Sum(nil)) {
		return errors.New("the bundle is not the one that was sealed: at least one byte differs")
	}
	if _, err := r.in.ReadByte(); !errors.Is(err, io.EOF) {
		return errors.New("there are bytes after the seal")
	}
	return nil
}
