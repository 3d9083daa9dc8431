// Package bucket keeps objects in a directory, or in a bucket of a service that speaks S3.
package bucket

import (
	"context"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
)

// Store is a place for objects. Names are of lower-case letters, digits and "/-_.".
type Store interface {
	Put(ctx context.Context, name string, size int64, r io.Reader) error
	Get(ctx context.Context, name string) (io.ReadCloser, int64, error)
	List(ctx context.Context, prefix string, each func(name string, size int64)) error
	Delete(ctx context.Context, name string) error
	String() string
}

// Options are what a store is opened with.
type Options struct {
	// Getenv gives the credentials of a bucket: SLIPWAY_BACKUP_ACCESS_KEY_ID,
	// SLIPWAY_BACKUP_SECRET_ACCESS_KEY and SLIPWAY_BACKUP_SESSION_TOKEN, or SLIPWAY_ARTIFACTS_…,
	// which no model sees. Without them they are found as tools of AWS do: variables, files, the machine's role.
	Getenv func(string) string
	Now    func() time.Time
	// Existing refuses to make a directory that is missing.
	Existing bool
	// For says what the store is for; zero: backups.
	For Purpose
}

// Purpose is what tells stores for different things apart to people.
type Purpose struct {
	Env   string // what the variables of credentials begin with
	Code  string // of an error of the place
	Full  string // what to do when it is full
	Other string // what to do when an object is missing
}

// The purposes.
var (
	Backups   = Purpose{"SLIPWAY_BACKUP_", slipway.CodeBackupTarget, "free space in it, or keep fewer: platform up --backup-keep N", "platform backup list"}
	Artifacts = Purpose{"SLIPWAY_ARTIFACTS_", slipway.CodeArtifactPlace, "free space in it", "platform doctor"}
)

const usage = "give a directory, or s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION"

func (o *Options) purpose() Purpose {
	if o.For == (Purpose{}) {
		return Backups
	}
	return o.For
}

// Open opens the store at a place: the path of a directory, or s3://BUCKET/PREFIX with, for
// another service than AWS, ?endpoint=https://HOST and region.
func Open(ctx context.Context, place string, o Options) (Store, error) {
	scheme, _, isURL := strings.Cut(place, "://")
	switch {
	case place == "":
		return nil, unusable(nil, usage, "no place is named")
	case isURL && scheme == "s3":
		u, err := url.Parse(place)
		if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
			return nil, unusable(nil, usage, "this is no address of a bucket")
		}
		return openS3(ctx, u, o)
	case isURL:
		return nil, unusable(nil, usage, "%.20q is no kind of place that can be used", scheme)
	}
	path, err := filepath.Abs(place)
	if err != nil {
		return nil, unusable(err, usage, "the directory cannot be found")
	}
	return openDir(path, o)
}

func unusable(cause error, next, format string, args ...any) error {
	e := slipway.Errorf(slipway.Invalid, slipway.CodeBackupTarget, next, format, args...)
	e.Cause = cause
	return e
}

func missing(name, next string) error {
	return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, next, "there is no %s", name)
}

// loopback says whether a host is this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
