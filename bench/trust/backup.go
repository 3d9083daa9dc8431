package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/bench/figure"
	"github.com/slipway-ml/slipway/client"
)

const backupBar = 120 // seconds for 5 GB under load

// site is an installation in a temporary directory.
type site struct {
	exe, dir, home string
	server         *exec.Cmd
	c              *client.Client
}

func (s *site) run(args ...string) ([]byte, error) {
	cmd := exec.Command(s.exe, args...)
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), "SLIPWAY_HOME="+s.home, "NO_COLOR=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("platform %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return out, err
}

func (s *site) up() error {
	s.server = exec.Command(s.exe, "up", "--json", "--home", s.home, "--listen", "127.0.0.1:0")
	out, err := s.server.StdoutPipe()
	if err == nil {
		err = s.server.Start()
	}
	if err != nil {
		return err
	}
	var ready struct{ URL string }
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	token, err2 := os.ReadFile(filepath.Join(s.home, "owner.token"))
	if err = errors.Join(err, err2); err != nil {
		return fmt.Errorf("the server did not start: %w", err)
	}
	s.c, err = client.New(client.Config{BaseURL: ready.URL, Token: strings.TrimSpace(string(token))})
	return err
}

func (s *site) close() {
	_, _ = s.run("down")
	_ = s.server.Wait()
	_ = filepath.WalkDir(s.dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
	_ = os.RemoveAll(s.dir)
}

// random gives so many bytes that cannot be compressed, the same for the same seed.
func random(seed byte, n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{seed}), n)
}

// backup backs a large instance up while it is used, checks the copy, and restores it.
func (b *bench) backup(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "slipway-bench-")
	if err != nil {
		return err
	}
	exe, err := filepath.Abs(b.exe)
	if err != nil {
		return err
	}
	s := &site{exe: exe, dir: dir, home: filepath.Join(dir, "home")}
	if err := s.up(); err != nil {
		return err
	}
	defer s.close()
	for _, args := range [][]string{{"init", "fraud"}, {"deploy", "--watch", "--file", "fraud/platform.yaml"}, {"backup", "key", "recovery.key"}} {
		if _, err := s.run(args...); err != nil {
			return err
		}
	}
	figure.Note("writing %d GiB of artifacts", b.gib)
	if err := s.artifacts(ctx, b.gib); err != nil {
		return err
	}
	load, stop := context.WithCancel(ctx)
	defer stop()
	sent, failed := s.load(load)
	if err := b.copies(s); err != nil {
		return err
	}
	stop()
	figure.Note("%d predictions meanwhile", sent.Load())
	b.Print(b.AtMost("backup_failed_predictions", float64(failed.Load()), 0))
	return b.restores(s)
}

// artifacts registers a version of large files.
func (s *site) artifacts(ctx context.Context, gib int) error {
	var r api.RegisterVersion
	for i := range gib {
		h := sha256.New()
		n, err := io.Copy(h, random(byte(i), 1<<30))
		if err != nil {
			return err
		}
		r.Files = append(r.Files, api.File{Path: fmt.Sprint("weights-", i), Digest: "sha256:" + hex.EncodeToString(h.Sum(nil)), Size: n})
	}
	open := func(f api.File) (io.ReadCloser, error) {
		return io.NopCloser(random(f.Path[len(f.Path)-1]-'0', f.Size)), nil
	}
	_, err := s.c.UploadVersion(ctx, "large", r, open, func(int64, int64) {})
	return err
}

// load asks for predictions and makes accounts until ctx ends.
func (s *site) load(ctx context.Context) (sent, failed *atomic.Int64) {
	sent, failed = &atomic.Int64{}, &atomic.Int64{}
	row, err := os.ReadFile(filepath.Join(s.dir, "fraud", "golden.jsonl"))
	var record struct{ Inputs json.RawMessage }
	if line, _, _ := bytes.Cut(row, []byte("\n")); err != nil || json.Unmarshal(line, &record) != nil {
		failed.Add(1)
		return sent, failed
	}
	body := fmt.Appendf(nil, `{"dataframe_records":[%s]}`, record.Inputs)
	for range 4 {
		go func() {
			for ctx.Err() == nil {
				if _, err := s.c.Invocations(ctx, "fraud", body); err != nil && ctx.Err() == nil {
					failed.Add(1)
				}
				sent.Add(1)
			}
		}()
	}
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			_, _ = s.c.CreateAccount(ctx, api.CreateAccount{Name: fmt.Sprint("person-", i), Kind: "person"})
			time.Sleep(5 * time.Millisecond)
		}
	}()
	return sent, failed
}

// copies makes a backup, and another of the same; then it damages one.
func (b *bench) copies(s *site) error {
	began := time.Now()
	if _, err := s.run("backup", "create", "target"); err != nil {
		return err
	}
	b.Print(b.AtMost(fmt.Sprintf("backup_%d_gib_seconds", b.gib), time.Since(began).Seconds(), backupBar))
	began = time.Now()
	if _, err := s.run("backup", "create", "target"); err != nil {
		return err
	}
	b.Print(b.AtMost("backup_again_seconds", time.Since(began).Seconds(), backupBar))
	began = time.Now()
	if _, err := s.run("backup", "verify", "target", "--key", "recovery.key"); err != nil {
		return err
	}
	b.Print(b.AtMost("backup_verify_seconds", time.Since(began).Seconds(), backupBar))
	return nil
}

// restores changes a byte of a part, which must be refused, and changes it back; then the
// backup must come back as it was.
func (b *bench) restores(s *site) error {
	parts, err := filepath.Glob(filepath.Join(s.dir, "target", "parts", "*", "*"))
	if err != nil || len(parts) == 0 {
		return fmt.Errorf("there are no parts: %w", err)
	}
	f, err := os.OpenFile(parts[0], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	flip := func() error {
		var one [1]byte
		_, err := f.ReadAt(one[:], info.Size()/2)
		one[0] ^= 1
		_, err2 := f.WriteAt(one[:], info.Size()/2)
		return errors.Join(err, err2)
	}
	if err := flip(); err != nil {
		return err
	}
	accepted := 0.0
	if out, err := s.run("backup", "verify", "target", "--key", "recovery.key"); err == nil || !bytes.Contains(out, []byte(filepath.Base(parts[0]))) {
		accepted++
	}
	b.Print(b.AtMost("backup_changed_byte_accepted", accepted, 0))
	if err := flip(); err != nil {
		return err
	}
	began := time.Now()
	if _, err := s.run("backup", "restore", "target", "--key", "recovery.key", "--home", filepath.Join(s.dir, "restored")); err != nil {
		return err
	}
	b.Print(b.AtMost("restore_seconds", time.Since(began).Seconds(), backupBar))
	was, err := digests(filepath.Join(s.home, "blobs"))
	if err != nil {
		return err
	}
	is, err := digests(filepath.Join(s.dir, "restored", "blobs"))
	differ := 0.0
	if !maps.Equal(was, is) {
		differ++
	}
	b.Print(b.AtMost("restore_digests_differ", differ, 0))
	return err
}

// digests hashes all files of a directory.
func digests(dir string) (map[string]string, error) {
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		h := sha256.New()
		_, err = io.Copy(h, f)
		out[strings.TrimPrefix(path, dir)] = hex.EncodeToString(h.Sum(nil))
		return err
	})
	return out, err
}
