package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway/api"
)

// maxLogRead bounds what is read of one replica's log, from its end.
const maxLogRead = 4 << 20

// readLogs gives the newest lines of the replicas of some revisions, oldest first. A
// replica's log is named after it, and it is named after its revision.
func readLogs(dir string, revisions []string, tail int) ([]api.LogLine, error) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []api.LogLine
	for _, f := range files {
		if !f.Type().IsRegular() || !slices.ContainsFunc(revisions, func(r string) bool { return strings.HasPrefix(f.Name(), r+"-r") }) {
			continue
		}
		lines, err := readLog(filepath.Join(dir, f.Name()), revisions)
		if err != nil {
			return nil, err
		}
		out = append(out, lines...)
	}
	slices.SortStableFunc(out, func(a, b api.LogLine) int { return a.Time.Compare(b.Time) })
	return out[max(0, len(out)-tail):], nil
}

// readLog reads the end of one file. A line that is none of ours came from a process that
// died before it had its log; it is given as it is.
func readLog(path string, revisions []string) ([]api.LogLine, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	skipped := st.Size() > maxLogRead
	if skipped {
		if _, err := f.Seek(-maxLogRead, io.SeekEnd); err != nil {
			return nil, err
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, maxLogRead))
	if err != nil {
		return nil, err
	}
	if skipped {
		_, b, _ = bytes.Cut(b, []byte("\n"))
	}
	var out []api.LogLine
	for line := range bytes.Lines(b) {
		l := api.LogLine{Stream: "raw", Message: string(bytes.TrimSpace(line))}
		if json.Unmarshal(line, &l) == nil && l.Revision != "" && !slices.Contains(revisions, l.Revision) {
			continue
		}
		out = append(out, l)
	}
	return out, nil
}
