package process

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/slipway-ml/slipway/internal/route"
)

// secrets is the environment with the secrets of a revision, in a file that has no name and
// is nowhere but in memory.
func (s *Supervisor) secrets(ctx context.Context, rev *route.Revision) (*os.File, error) {
	if s.o.Secrets == nil {
		return nil, errors.New("secrets cannot be given to models here")
	}
	env, err := s.o.Secrets(ctx, rev)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("secrets", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "secrets")
	err = json.NewEncoder(f).Encode(env)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
