package process

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/slipway-ml/slipway/internal/route"
)

const (
	configFlag = "--config"
	socketExt  = ".sock"
	// The runtime rotates its log while it runs; one that never gets so far is cut here.
	logBytes = 8 << 20
)

// runtimeConfig is the file that a runtime process is given.
type runtimeConfig struct {
	Socket      string        `json:"socket"`
	Dir         string        `json:"dir"`
	Runtime     route.Runtime `json:"runtime"`
	MemoryBytes int64         `json:"memory_bytes"`
	MilliCPU    int           `json:"milli_cpu"`
	Secrets     bool          `json:"secrets,omitempty"` // they come as descriptor 3
	Log         string        `json:"log"`
	Replica     string        `json:"replica"`
	Revision    string        `json:"revision"`
	Model       string        `json:"model"`
}

// layout says where the files of a replica are.
type layout struct{ dir, runDir string }

func (l layout) records() string         { return filepath.Join(l.dir, "replicas") }
func (l layout) configs() string         { return filepath.Join(l.dir, "config") }
func (l layout) logs() string            { return filepath.Join(l.dir, "logs") }
func (l layout) record(id string) string { return filepath.Join(l.records(), id+".json") }
func (l layout) config(id string) string { return filepath.Join(l.configs(), id+".json") }
func (l layout) log(id string) string    { return filepath.Join(l.logs(), id+".log") }

// tag is the same for every supervisor of one directory.
func (l layout) tag() string { return shortHash(l.dir) }

// socket has the same short length for every id, since the path of a Unix socket is
// limited to 107 bytes.
func (l layout) socket(id string) string {
	return filepath.Join(l.runDir, shortHash(l.dir+"\x00"+id)+socketExt)
}

func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:6])
}

// start starts a process for a replica: intent, process, record, in this order. Only a
// recorded process counts; one that cannot be recorded is killed.
func (s *Supervisor) start(ctx context.Context, id string, rev *route.Revision, restarts int) (proc, time.Time, error) {
	started := s.o.Now()
	rec := record{ID: id, Revision: rev.ID, Started: started, Socket: s.files.socket(id),
		ImageDigest: rev.ImageDigest, Restarts: restarts, Exe: s.o.Command[0]}
	var secrets *os.File
	if len(rev.Runtime.Secrets) > 0 {
		var err error
		if secrets, err = s.secrets(ctx, rev); err != nil {
			return proc{}, started, err
		}
		defer secrets.Close()
	}
	conf := runtimeConfig{Socket: rec.Socket, Dir: rev.Dir, Runtime: rev.Runtime,
		MemoryBytes: rev.MemoryBytes, MilliCPU: rev.MilliCPU, Log: s.files.log(id), Replica: id,
		Revision: rev.ID, Model: rev.Model, Secrets: secrets != nil}
	if err := writeJSON(s.files.config(id), conf); err != nil {
		return proc{}, started, err
	}
	if err := writeJSON(s.files.record(id), rec); err != nil {
		return proc{}, started, err
	}
	if err := os.Remove(rec.Socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return proc{}, started, err
	}
	p, err := s.spawn(id, secrets)
	if err != nil {
		return proc{}, started, err
	}
	rec.PID, rec.StartTicks = p.pid, p.start
	if err := writeJSON(s.files.record(id), rec); err != nil {
		killGroup(p.pid)
		p.wait(s.ctx)
		p.reap()
		return proc{}, started, fmt.Errorf("the process could not be recorded: %w", err)
	}
	if err := s.limits.place(id, p.pid, rev.MemoryBytes); err != nil {
		s.o.Log.Warn("the memory limit of this replica is soft", "replica", id, "cause", err)
	}
	return p, started, nil
}

// spawn starts the runtime in a session of its own, which neither our terminal nor our
// death can reach, with a file for its output: a pipe would break with us.
func (s *Supervisor) spawn(id string, secrets *os.File) (proc, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return proc{}, err
	}
	defer null.Close()
	path := s.files.log(id)
	if info, err := os.Stat(path); err == nil && info.Size() > logBytes {
		if err := os.Rename(path, path+".1"); err != nil {
			return proc{}, err
		}
	}
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return proc{}, err
	}
	defer log.Close()
	argv := append(append([]string{}, s.o.Command...), configFlag, s.files.config(id))
	files := []*os.File{null, log, log}
	if secrets != nil {
		files = append(files, secrets)
	}
	child, err := os.StartProcess(argv[0], argv, &os.ProcAttr{
		Env:   s.o.Env,
		Files: files,
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return proc{}, err
	}
	pid := child.Pid
	_ = child.Release() // reap takes the exit status
	st, err := readStat(pid)
	if err != nil {
		killGroup(pid)
		return proc{}, err
	}
	return proc{pid, st.start}, nil
}

// remove deletes the files of a replica whose process is gone. Its log stays, for people.
func (s *Supervisor) remove(id, socket string) {
	s.limits.remove(id)
	for _, path := range []string{socket, s.files.config(id), s.files.record(id)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.o.Log.Warn("a file of a removed replica stays", "replica", id, "cause", err)
		}
	}
}
