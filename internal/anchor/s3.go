package anchor

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/slipway-ml/slipway/internal/audit"
)

// bucket is one with object lock: each checkpoint is an object that nobody can remove or
// change until its time is over.
type bucket struct {
	name   string
	prefix string
	retain time.Duration
	client *minio.Client
	now    func() time.Time
}

const usualRetain = 400 // days: the period of an audit, and what comes after it

// newBucket takes the credentials from the environment or from the usual file of the tools
// of AWS, of which credentials=FILE names another.
func newBucket(u *url.URL, p *parameters, now func() time.Time) (Anchor, error) {
	days, err := strconv.Atoi(strings.TrimSuffix(p.take("retain", strconv.Itoa(usualRetain)+"d"), "d"))
	if err != nil || days < 1 || days > 10000 {
		return nil, invalid("retain of an audit anchor is a number of days, such as 400d")
	}
	end, err := url.Parse(p.take("endpoint", "https://s3.amazonaws.com"))
	if err != nil || end.Scheme != "https" && end.Scheme != "http" || end.Host == "" || u.Host == "" {
		return nil, invalid("an audit anchor in a bucket names it, and an endpoint with https")
	}
	who := credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{Filename: p.take("credentials", "")}})
	c, err := minio.New(end.Host, &minio.Options{Creds: who, Secure: end.Scheme == "https", Region: p.take("region", "us-east-1"), MaxRetries: 1})
	if err != nil {
		return nil, invalid("the endpoint of an audit anchor is none")
	}
	return &bucket{name: u.Host, prefix: strings.Trim(u.Path, "/"), retain: time.Duration(days) * 24 * time.Hour, client: c, now: now}, nil
}

// Name implements Anchor.
func (b *bucket) Name() string { return "s3://" + strings.TrimSuffix(b.name+"/"+b.prefix, "/") }

// key orders the checkpoints of a log from the newest to the oldest, as buckets list them.
func (b *bucket) key(log string, size uint64) string {
	return b.list(log) + fmt.Sprintf("%020d-%d", ^size, size)
}

func (b *bucket) list(log string) string {
	return strings.TrimPrefix(b.prefix+"/", "/") + log + "/"
}

// Put implements Anchor.
func (b *bucket) Put(ctx context.Context, c audit.Checkpoint, key string, _ func(from uint64) ([][]byte, error)) error {
	public, err := audit.ParsePublic(key)
	if err != nil {
		return err
	}
	lock, _, _, _, err := b.client.GetObjectLockConfig(ctx, b.name)
	if err != nil || lock != "Enabled" {
		return unusable(b.Name(), "the bucket cannot be used, or has no object lock", err)
	}
	there, err := b.newest(ctx, public.Name())
	if err != nil || there.Key == b.key(public.Name(), c.Size) {
		return err
	}
	_, err = b.client.PutObject(ctx, b.name, b.key(public.Name(), c.Size), bytes.NewReader(c.Text), int64(len(c.Text)), minio.PutObjectOptions{
		ContentType: "text/plain; charset=utf-8", Mode: minio.Compliance, RetainUntilDate: b.now().Add(b.retain).UTC(), SendContentMd5: true, DisableMultipart: true})
	if err != nil {
		return unusable(b.Name(), "the bucket does not take a checkpoint", err)
	}
	return nil
}

// newest finds the newest checkpoint of a log; without one its key is empty. Versions do not
// go away, so that one that was hidden or written over is found.
func (b *bucket) newest(ctx context.Context, log string) (found minio.ObjectInfo, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for o := range b.client.ListObjects(ctx, b.name, minio.ListObjectsOptions{Prefix: b.list(log), WithVersions: true}) {
		switch {
		case o.Err != nil:
			return o, unusable(b.Name(), "the bucket cannot be listed", o.Err)
		case found.Key == "":
			found = o
		case o.Key != found.Key:
			return found, nil
		case o.ETag != found.ETag:
			return found, unusable(b.Name(), "somebody has written over "+o.Key, nil)
		}
		if o.IsDeleteMarker {
			return o, unusable(b.Name(), "somebody has removed "+o.Key, nil)
		}
	}
	return found, nil
}

// Last implements Anchor.
func (b *bucket) Last(ctx context.Context, log string) (audit.Anchored, error) {
	out := audit.Anchored{Anchor: b.Name()}
	there, err := b.newest(ctx, log)
	if err != nil || there.Key == "" {
		return out, err
	}
	o, err := b.client.GetObject(ctx, b.name, there.Key, minio.GetObjectOptions{})
	if err != nil {
		return out, unusable(b.Name(), "the newest checkpoint cannot be read", err)
	}
	defer o.Close()
	text, err := io.ReadAll(io.LimitReader(o, maxText))
	if err != nil {
		return out, unusable(b.Name(), "the newest checkpoint cannot be read", err)
	}
	out.Checkpoint, out.Place = string(text), "object "+there.Key
	return out, nil
}
