package anchor_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// moto starts a server that others wrote (github.com/getmoto/moto) and gives its URL. It is
// looked for in the environment of the tests in Python.
func moto(t *testing.T) string {
	t.Helper()
	program, err := filepath.Abs("../../.venv-keys/bin/moto_server")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		if program, err = exec.LookPath("moto_server"); err != nil {
			t.Skip("needs moto_server: make .venv-keys")
		}
	}
	cmd := exec.CommandContext(t.Context(), program, "-H", "127.0.0.1", "-p", "0")
	cmd.WaitDelay = time.Second
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		if m := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(lines.Text()); m != "" {
			go func() { _, _ = io.Copy(io.Discard, said) }()
			return m
		}
	}
	t.Fatal(errors.Join(errors.New("moto did not start"), lines.Err()))
	return ""
}

func TestBucket(t *testing.T) {
	server := moto(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	c, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4("test", "test", ""), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	for bucket, locked := range map[string]bool{"audit": true, "open": false} {
		if err := c.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{Region: "us-east-1", ObjectLocking: locked}); err != nil {
			t.Fatal(err)
		}
	}
	l := newLog(t)
	a := parse(t, "s3://audit/slipway?retain=30d&endpoint="+server)
	keeps(t, a, l)
	var keys []minio.ObjectInfo
	for o := range c.ListObjects(t.Context(), "audit", minio.ListObjectsOptions{Recursive: true}) {
		keys = append(keys, o)
	}
	if len(keys) != 2 {
		t.Fatal(keys)
	}
	st, err := c.StatObject(t.Context(), "audit", keys[0].Key, minio.StatObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	until, err := time.Parse(time.RFC3339, st.Metadata.Get("X-Amz-Object-Lock-Retain-Until-Date"))
	if mode := st.Metadata.Get("X-Amz-Object-Lock-Mode"); err != nil || mode != "COMPLIANCE" || !until.Equal(start.Add(30*24*time.Hour)) {
		t.Errorf("%q until %v, %v: %v", mode, until, err, st.Metadata)
	}
	if err := c.RemoveObject(t.Context(), "audit", keys[0].Key, minio.RemoveObjectOptions{VersionID: st.VersionID}); err == nil {
		t.Error("a version that is locked was removed")
	}
	first := newLog(t)
	refused(t, "a bucket without object lock", parse(t, "s3://open?endpoint="+server).Put(t.Context(), first.grow(), first.key.Public(), nil))

	// What was hidden or written over does not look like what was there.
	newest := keys[0].Key
	if _, err := c.PutObject(t.Context(), "audit", newest, bytes.NewReader([]byte("x")), 1, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err = a.Last(t.Context(), l.key.Name())
	refused(t, "written over", err)
	if err := c.RemoveObject(t.Context(), "audit", newest, minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err = a.Last(t.Context(), l.key.Name())
	refused(t, "removed", err)
}
