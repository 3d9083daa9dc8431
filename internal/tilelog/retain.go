package tilelog

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/transparency-dev/tessera/api/layout"

	"github.com/slipway-ml/slipway"
)

// Retain moves whole bundles of entries, each with the tile of its hashes, to another
// directory, from the beginning of the log up to the last whole one before end. It gives
// the index behind the last leaf that lies there now. A file is removed here when its copy
// is durable, so that it may be called again after an interruption. What stays can be
// proved without what was moved.
func (l *Log) Retain(to string, end uint64, moved func(index uint64)) (uint64, error) {
	end = min(end, l.Checkpoint().Size) / layout.EntryBundleWidth
	for at := range end {
		for _, p := range []place{{entries: true, index: at}, {index: at}} {
			if err := l.move(p.path(), to); err != nil {
				return at * layout.EntryBundleWidth, err
			}
		}
		if moved != nil {
			moved(at * layout.EntryBundleWidth)
		}
	}
	return end * layout.EntryBundleWidth, nil
}

// Cold makes the log look for what it does not have in these directories too.
func (l *Log) Cold(dirs []string) { l.cold.Store(&dirs) }

func (l *Log) move(path, to string) error {
	from, target := filepath.Join(l.dir, path), filepath.Join(to, path)
	b, err := os.ReadFile(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // moved before
	}
	if err != nil {
		return coldError(to, err)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return coldError(to, err)
	}
	there, err := os.ReadFile(target)
	if errors.Is(err, fs.ErrNotExist) {
		err = replaceFile(target, b)
	} else if err == nil && !bytes.Equal(there, b) {
		err = errors.New("another log's file has its place")
	}
	if err == nil {
		err = os.Remove(from)
	}
	if err != nil {
		return coldError(to, err)
	}
	return nil
}

func coldError(to string, err error) error {
	return &slipway.Error{Code: slipway.CodeIO, Kind: slipway.Unavailable, Message: "the audit log cannot be moved to " + to,
		Next: "name a directory of its own that the server can write, with room", Cause: err}
}
