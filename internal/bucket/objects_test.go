package bucket_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/bucket"
)

var artifactCredentials = env(map[string]string{"SLIPWAY_ARTIFACTS_ACCESS_KEY_ID": "id", "SLIPWAY_ARTIFACTS_SECRET_ACCESS_KEY": "secret"})

func TestObjects(t *testing.T) {
	o, err := bucket.OpenObjects(t.Context(), "s3://backups/of/one?region=us-east-1&endpoint="+service(t), bucket.Options{Getenv: artifactCredentials, Now: time.Now, For: bucket.Artifacts})
	if err != nil {
		t.Fatal(err, slipway.AsError(err).Cause)
	}
	large := bytes.Repeat([]byte("0123456789abcdef"), 2_200_000) // more than one piece
	for name, b := range map[string][]byte{"ab/one": []byte("content"), "cd/large": large} {
		if err := o.Put(t.Context(), name, int64(len(b)), bytes.NewReader(b)); err != nil {
			t.Fatal(err, slipway.AsError(err).Cause)
		}
		size, put, err := o.Stat(t.Context(), name)
		if err != nil || size != int64(len(b)) || time.Since(put).Abs() > time.Hour {
			t.Errorf("%s: %d bytes, put %v, %v", name, size, put, err)
		}
		for _, from := range []int64{0, 1, int64(len(b)) - 1, int64(len(b)), int64(len(b)) + 5} {
			in, err := o.From(t.Context(), name, from)
			if err != nil {
				t.Fatal(name, from, err, slipway.AsError(err).Cause)
			}
			got, err := io.ReadAll(in)
			in.Close()
			if want := b[min(from, int64(len(b))):]; err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s from %d: %d bytes of %d, %v", name, from, len(got), len(want), err)
			}
		}
	}
	var list []string
	if err := o.List(t.Context(), "", func(name string, size int64, put time.Time) {
		list = append(list, fmt.Sprintf("%s %d %v", name, size, put.IsZero()))
	}); err != nil {
		t.Error(err)
	}
	if want := fmt.Sprintf("ab/one 7 false cd/large %d false", len(large)); strings.Join(list, " ") != want {
		t.Errorf("%v, want %s", list, want)
	}
	for range 2 {
		if err := o.Delete(t.Context(), "ab/one"); err != nil {
			t.Error(err)
		}
	}
	_, _, err = o.Stat(t.Context(), "ab/one")
	if !errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		t.Errorf("stat of what is not there: %v", err)
	}
	if _, err = o.From(t.Context(), "ab/one", 0); !errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		t.Errorf("reading what is not there: %v", err)
	}
}

func TestOpenObjectsRefuses(t *testing.T) {
	s := service(t)
	for _, place := range []string{"", "/a/directory", "s3://", "s3://user:secret@backups", "s3://backups?endpoint=http://192.0.2.1", "s3://backups?other=x",
		"s3://others?region=us-east-1&endpoint=" + s, "s3://backups?region=us-east-1&endpoint=http://127.0.0.1:1"} {
		_, err := bucket.OpenObjects(t.Context(), place, bucket.Options{Getenv: artifactCredentials, Now: time.Now, For: bucket.Artifacts})
		e := slipway.AsError(err)
		if e.Code != slipway.CodeArtifactPlace || e.Next == "" || strings.Contains(e.Error(), "secret") {
			t.Errorf("%q: %v", place, err)
		}
	}
}
