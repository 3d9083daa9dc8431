package artifact

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
)

// Bounds of uploads in parts.
const (
	MaxParts = 10_000
	maxPart  = 5 << 30        // bytes
	lifetime = 24 * time.Hour // from its begin to its end
)

func uploadError(kind slipway.Kind, next, format string, args ...any) error {
	return slipway.Errorf(kind, slipway.CodeUpload, next, format, args...)
}

// Begin begins an upload in parts. Nothing is visible before Complete.
func (s *Service) Begin(ctx context.Context, by slipway.Principal, p, team string, parts int) (Upload, error) {
	if parts < 1 || parts > MaxParts {
		return Upload{}, uploadError(slipway.Invalid, "make the parts larger", "an upload has 1 to %d parts, not %d", MaxParts, parts)
	}
	now := s.Now()
	u := Upload{ID: slipway.NewID("upl", now), Path: p, Type: TypeOf("", p), Team: team, By: by.ID, Parts: parts, Expires: now.Add(lifetime).UTC().Truncate(time.Microsecond)}
	return u, s.Uploads.Begin(ctx, u)
}

// Part stores a part, in any order, and again when its sender has not heard of it. The digest
// of a part is its ETag.
func (s *Service) Part(ctx context.Context, id string, number int, size int64, body io.Reader) (Part, error) {
	u, _, err := s.upload(ctx, id)
	switch {
	case err != nil:
		return Part{}, err
	case u.Done != "":
		return Part{}, uploadError(slipway.NotFound, "begin it again", "the upload is complete already")
	case number < 1 || number > u.Parts:
		return Part{}, uploadError(slipway.Invalid, "begin an upload of more parts", "the upload has %d parts", u.Parts)
	case size > maxPart:
		return Part{}, slipway.Errorf(slipway.Invalid, slipway.CodeTooLarge, "make the parts smaller", "a part has at most %d GiB", maxPart>>30)
	}
	p := Part{Number: number}
	if p.Digest, p.Size, err = s.Blobs.Receive(ctx, size, body); err != nil {
		return p, err
	}
	s.Adopt(ctx, u.Team, p.Digest)
	return p, s.Uploads.AddPart(ctx, id, p)
}

// PartOf gives a part that has come.
func (s *Service) PartOf(ctx context.Context, id string, number int) (Part, error) {
	_, parts, err := s.upload(ctx, id)
	for _, p := range parts {
		if p.Number == number {
			return p, nil
		}
	}
	if err == nil {
		err = uploadError(slipway.NotFound, "send it", "part %d has not come", number)
	}
	return Part{}, err
}

// upload finds one that has not expired.
func (s *Service) upload(ctx context.Context, id string) (Upload, []Part, error) {
	u, parts, err := s.Uploads.Upload(ctx, id)
	if err == nil && !u.Expires.After(s.Now()) {
		err = uploadError(slipway.NotFound, "begin it again", "the upload has expired")
	}
	return u, parts, err
}

// Sent is a part as its sender knows it.
type Sent struct {
	Number int
	ETag   string
}

// Complete makes a file of the parts, in the order of their numbers. It may be asked again, by
// somebody who has not heard of the end. It answers CodeUpload, Invalid, when parts are
// missing or others than were sent.
func (s *Service) Complete(ctx context.Context, by slipway.Principal, id, p string, sent []Sent) (File, error) {
	// Who gave up waiting will ask again, and what was begun is not done twice.
	return s.completing.do(ctx, id, func(ctx context.Context) (File, error) {
		u, parts, err := s.upload(ctx, id)
		if err == nil && u.Path != p {
			err = uploadError(slipway.NotFound, "name the path that it was begun with", "there is no such upload to this path")
		}
		if err != nil {
			return File{}, err
		}
		if u.Done != "" {
			return File{Path: u.Path, Digest: u.Done, Type: u.Type, Team: u.Team, By: u.By}, nil
		}
		if err := u.complete(parts, sent); err != nil {
			return File{}, err
		}
		var size int64
		for _, part := range parts {
			size += part.Size
		}
		body := &joined{ctx: ctx, blobs: s.Blobs, parts: parts}
		defer body.close()
		digest, size, err := s.Blobs.Receive(ctx, size, body)
		if err != nil {
			return File{}, err
		}
		s.Adopt(ctx, u.Team, digest)
		f := File{Path: u.Path, Digest: digest, Size: size, Type: u.Type, Team: u.Team, By: by.ID, Created: s.Now().UTC().Truncate(time.Microsecond)}
		return f, s.Uploads.Complete(ctx, id, f, s.replaced(f))
	})
}

// complete says whether the parts that have come are those that were sent, and all.
func (u *Upload) complete(parts []Part, sent []Sent) error {
	const next = "send what is missing, then complete it again"
	if len(parts) < u.Parts {
		return uploadError(slipway.Invalid, next, "%d of %d parts have come", len(parts), u.Parts)
	}
	if len(sent) != len(parts) {
		return uploadError(slipway.Invalid, next, "%d parts are named, the upload has %d", len(sent), len(parts))
	}
	named := map[int]string{}
	for _, s := range sent {
		if _, twice := named[s.Number]; twice {
			return uploadError(slipway.Invalid, "name each part once", "part %d is named twice", s.Number)
		}
		named[s.Number] = s.ETag
	}
	for _, p := range parts {
		etag, ok := named[p.Number]
		if !ok {
			return uploadError(slipway.Invalid, next, "part %d is not named", p.Number)
		}
		if strings.Trim(etag, `"`) != p.Digest.Hex() {
			return uploadError(slipway.Invalid, "send it again", "part %d has other bytes than were sent", p.Number)
		}
	}
	return nil
}

// ETag is the tag of what has a digest (RFC 9110, 8.8.3).
func ETag(d slipway.Digest) string { return `"` + d.Hex() + `"` }

// Abort ends an upload. One that is not there is no error.
func (s *Service) Abort(ctx context.Context, id, p string) error {
	u, _, err := s.Uploads.Upload(ctx, id)
	if errors.Is(err, &slipway.Error{Code: slipway.CodeUpload}) || err == nil && u.Path != p {
		return nil
	}
	if err == nil {
		_, err = s.Uploads.Abort(ctx, id, time.Time{})
	}
	return err
}

// joined reads parts, one after the other.
type joined struct {
	ctx   context.Context
	blobs Blobs
	parts []Part
	now   Bytes
}

func (j *joined) Read(p []byte) (int, error) {
	for {
		if j.now == nil {
			if len(j.parts) == 0 {
				return 0, io.EOF
			}
			var err error
			if j.now, err = j.blobs.Open(j.ctx, j.parts[0].Digest); err != nil {
				return 0, err
			}
			j.parts = j.parts[1:]
		}
		n, err := j.now.Read(p)
		if errors.Is(err, io.EOF) {
			err = j.now.Close()
			j.now = nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (j *joined) close() {
	if j.now != nil {
		_ = j.now.Close() // it was only read
	}
}

// completeLimit bounds the joining of 50 GiB.
const completeLimit = time.Hour

// running lets those who ask for the same wait for one that does it, which goes on when they
// leave.
type running struct {
	mu    sync.Mutex
	calls map[string]*call
}

type call struct {
	done chan struct{}
	file File
	err  error
}

func (r *running) do(ctx context.Context, id string, fn func(context.Context) (File, error)) (File, error) {
	r.mu.Lock()
	c := r.calls[id]
	if c == nil {
		c = &call{done: make(chan struct{})}
		r.calls[id] = c
		go func() {
			run, cancel := context.WithTimeout(context.WithoutCancel(ctx), completeLimit)
			defer cancel()
			c.file, c.err = fn(run)
			r.mu.Lock()
			delete(r.calls, id)
			r.mu.Unlock()
			close(c.done)
		}()
	}
	r.mu.Unlock()
	select {
	case <-c.done:
		return c.file, c.err
	case <-ctx.Done():
		return File{}, ctx.Err()
	}
}

// Sweep forgets uploads that have expired, and removes what nothing names any more.
func (s *Service) Sweep(ctx context.Context) error {
	if _, err := s.Uploads.Abort(ctx, "", s.Now()); err != nil {
		return err
	}
	_, err := s.Reclaim(ctx)
	return err
}
