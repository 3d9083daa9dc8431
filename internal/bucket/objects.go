package bucket

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/slipway-ml/slipway"
)

// Objects are those of a bucket, with what is asked of one that is read in parts and swept by
// age. Safe for concurrent use.
type Objects struct{ s *s3 }

// OpenObjects opens s3://BUCKET/PREFIX, as Open does.
func OpenObjects(ctx context.Context, place string, o Options) (*Objects, error) {
	u, err := url.Parse(place)
	if err != nil || u.Scheme != "s3" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, o.asPurpose(unusable(nil, "give s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION", "this is no address of a bucket"))
	}
	s, err := openS3(ctx, u, o)
	if err != nil {
		return nil, o.asPurpose(err)
	}
	return &Objects{s}, nil
}

// asPurpose gives an error of the place the code of what it is for.
func (o *Options) asPurpose(err error) error {
	e := slipway.AsError(err)
	if e.Code != slipway.CodeBackupTarget {
		return err
	}
	named := *e
	named.Code = o.purpose().Code
	return &named
}

// String is the address.
func (o *Objects) String() string { return o.s.String() }

// Put stores an object.
func (o *Objects) Put(ctx context.Context, name string, size int64, r io.Reader) error {
	return o.s.Put(ctx, name, size, r)
}

// Stat gives the size of an object, and when it was put there.
func (o *Objects) Stat(ctx context.Context, name string) (int64, time.Time, error) {
	info, err := o.s.client.StatObject(ctx, o.s.bucket, o.s.prefix+name, minio.StatObjectOptions{})
	if err != nil {
		return 0, time.Time{}, o.s.notFound(name, err)
	}
	return info.Size, info.LastModified, nil
}

// notFound is failed, or NotFound when the service says that.
func (s *s3) notFound(name string, err error) error {
	if said := minio.ToErrorResponse(err); said.Code == minio.NoSuchKey || said.Code != minio.NoSuchBucket && said.StatusCode == http.StatusNotFound {
		return missing(name, s.purpose.Other)
	}
	return s.failed(err)
}

// From gives an object from a byte on.
func (o *Objects) From(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	var opts minio.GetObjectOptions
	if offset > 0 {
		if err := opts.SetRange(offset, 0); err != nil {
			return nil, err
		}
	}
	core := minio.Core{Client: o.s.client}
	body, _, _, err := core.GetObject(ctx, o.s.bucket, o.s.prefix+name, opts)
	if said := minio.ToErrorResponse(err); err != nil && said.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		return io.NopCloser(strings.NewReader("")), nil // behind its end
	}
	if err != nil {
		return nil, o.s.notFound(name, err)
	}
	return stream{body, o.s}, nil
}

// stream gives the errors of the service their place.
type stream struct {
	io.ReadCloser
	s *s3
}

func (r stream) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.s.failed(err)
	}
	return n, err
}

// Delete removes an object. One that is not there is no error.
func (o *Objects) Delete(ctx context.Context, name string) error { return o.s.Delete(ctx, name) }

// List finds objects.
func (o *Objects) List(ctx context.Context, prefix string, each func(name string, size int64, put time.Time)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // else the listing goes on
	for found := range o.s.client.ListObjects(ctx, o.s.bucket, minio.ListObjectsOptions{Prefix: o.s.prefix + prefix, Recursive: true}) {
		if found.Err != nil {
			return o.s.failed(found.Err)
		}
		each(strings.TrimPrefix(found.Key, o.s.prefix), found.Size, found.LastModified)
	}
	return nil
}
