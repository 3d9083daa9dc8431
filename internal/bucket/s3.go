package bucket

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/slipway-ml/slipway"
)

// s3 keeps objects in a bucket.
type s3 struct {
	client         *minio.Client
	bucket, prefix string
	purpose        Purpose
}

const (
	partSize     = 16 << 20 // of an upload in several pieces; a piece is in memory
	headerLimit  = 30 * time.Second
	connectLimit = 10 * time.Second
)

func openS3(ctx context.Context, u *url.URL, o Options) (*s3, error) {
	q := u.Query()
	for key := range q {
		if key != "endpoint" && key != "region" {
			return nil, unusable(nil, usage, "an address of a bucket has no %.40q", key)
		}
	}
	endpoint := q.Get("endpoint")
	if endpoint == "" {
		endpoint = "https://s3.amazonaws.com"
	}
	e, err := url.Parse(endpoint)
	if err != nil || e.Host == "" || e.Scheme != "https" && e.Scheme != "http" || e.Path != "" && e.Path != "/" || e.User != nil {
		return nil, unusable(nil, usage, "the endpoint is no address of a service")
	}
	if e.Scheme == "http" && !loopback(e.Hostname()) {
		return nil, unusable(nil, "give the endpoint with https://", "credentials would cross the network in the clear to %s", e.Host)
	}
	transport, err := minio.DefaultTransport(e.Scheme == "https")
	if err != nil {
		return nil, err
	}
	transport.ResponseHeaderTimeout, transport.TLSHandshakeTimeout = headerLimit, connectLimit
	client, err := minio.New(e.Host, &minio.Options{Creds: credentialsOf(o.Getenv, o.purpose().Env), Secure: e.Scheme == "https", Region: q.Get("region"), Transport: transport, MaxRetries: 4})
	if err != nil {
		return nil, unusable(err, usage, "the bucket cannot be used")
	}
	s := &s3{client: client, bucket: u.Host, prefix: strings.Trim(u.Path, "/"), purpose: o.purpose()}
	if s.prefix != "" {
		s.prefix += "/"
	}
	there, err := client.BucketExists(ctx, s.bucket)
	if err != nil {
		return nil, s.failed(err)
	}
	if !there {
		return nil, unusable(nil, "make it, or correct the name", "there is no bucket %.63s", s.bucket)
	}
	return s, nil
}

func credentialsOf(getenv func(string) string, own string) *credentials.Credentials {
	if id := getenv(own + "ACCESS_KEY_ID"); id != "" {
		return credentials.NewStaticV4(id, getenv(own+"SECRET_ACCESS_KEY"), getenv(own+"SESSION_TOKEN"))
	}
	return credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{}})
}

// failed gives an error of the service its place among ours. Its own text may hold
// addresses and is for the log.
func (s *s3) failed(err error) error {
	if err == nil || errors.As(err, new(*slipway.Error)) || errors.Is(err, context.Canceled) {
		return err
	}
	said := minio.ToErrorResponse(err)
	e := &slipway.Error{Code: s.purpose.Code, Kind: slipway.Unavailable, Cause: err}
	switch {
	case said.StatusCode == http.StatusForbidden || said.StatusCode == http.StatusUnauthorized:
		e.Kind, e.Message, e.Next = slipway.Invalid, "the bucket "+s.bucket+" does not let this machine in", "set "+s.purpose.Env+"ACCESS_KEY_ID and "+s.purpose.Env+"SECRET_ACCESS_KEY, and check their rights"
	case said.Code == minio.NoSuchBucket:
		e.Kind, e.Message, e.Next = slipway.Invalid, "there is no bucket "+s.bucket, "make it, or correct the name"
	case said.StatusCode == http.StatusInsufficientStorage || said.Code == "XMinioStorageFull" || said.Code == "QuotaExceeded":
		e.Code, e.Kind, e.Message, e.Next = slipway.CodeDiskFull, slipway.Exhausted, "the bucket "+s.bucket+" is full", s.purpose.Full
	case said.StatusCode > 0:
		e.Message, e.Next = "the bucket "+s.bucket+" refuses: "+slipway.OneLine(said.Code, 60), "check its settings, then try again"
	default:
		e.Message, e.Next = "the bucket "+s.bucket+" cannot be reached", "check endpoint and region, then try again"
	}
	return e
}

// String is the address.
func (s *s3) String() string { return "s3://" + s.bucket + "/" + s.prefix }

// Put stores an object. An upload that breaks off leaves pieces that nobody sees: a rule of
// the bucket should abort unfinished uploads.
func (s *s3) Put(ctx context.Context, name string, size int64, r io.Reader) error {
	in := &source{ctx: ctx, r: r}
	var body io.Reader = in
	if size <= partSize { // one that can be sent again
		b, err := io.ReadAll(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	// What is stored is authenticated by whoever stores it; the checksum is for the way there.
	_, err := s.client.PutObject(ctx, s.bucket, s.prefix+name, body, size, minio.PutObjectOptions{ContentType: "application/octet-stream", PartSize: partSize,
		DisableContentSha256: true, SendContentMd5: true})
	if in.err != nil {
		return in.err
	}
	return s.failed(err)
}

// Get opens an object.
func (s *s3) Get(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	o, err := s.client.GetObject(ctx, s.bucket, s.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, 0, s.failed(err)
	}
	info, err := o.Stat()
	if err != nil {
		o.Close()
		if said := minio.ToErrorResponse(err); said.Code == minio.NoSuchKey || said.StatusCode == http.StatusNotFound {
			return nil, 0, missing(name, s.purpose.Other)
		}
		return nil, 0, s.failed(err)
	}
	return reader{o, s}, info.Size, nil
}

// reader gives the errors of the service their place.
type reader struct {
	*minio.Object
	s *s3
}

func (r reader) Read(p []byte) (int, error) {
	n, err := r.Object.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.s.failed(err)
	}
	return n, err
}

// List finds objects.
func (s *s3) List(ctx context.Context, prefix string, each func(string, int64)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // else the listing goes on
	for o := range s.client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: true}) {
		if o.Err != nil {
			return s.failed(o.Err)
		}
		each(strings.TrimPrefix(o.Key, s.prefix), o.Size)
	}
	return nil
}

// Delete removes an object.
func (s *s3) Delete(ctx context.Context, name string) error {
	return s.failed(s.client.RemoveObject(ctx, s.bucket, s.prefix+name, minio.RemoveObjectOptions{}))
}
