package logfile

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/slipway-ml/slipway/api"
)

// Bounds of one reading.
const (
	maxRead   = 4 << 20 // bytes of a replica's new lines
	maxLines  = 10000
	maxCursor = 64 << 10
	ending    = ".log"
)

// position is where the reading of a replica's log has come to. The number of a file is
// given to another once it is gone, so its first bytes are told apart, too.
type position struct {
	Inode  uint64 `json:"i"`
	Head   uint32 `json:"h"` // CRC-32 of the first bytes before Offset, at most headBytes
	Offset int64  `json:"o"`
}

const headBytes = 64 // the time of a record is within

// at is the position in a file.
func at(file io.ReaderAt, inode uint64, offset int64) position {
	b := make([]byte, max(0, min(headBytes, offset)))
	n, _ := file.ReadAt(b, 0) // what cannot be read is another head
	return position{inode, crc32.ChecksumIEEE(b[:n]), offset}
}

// cursor is a position for each replica.
type cursor map[string]position

// Encode writes a cursor as text that fits into a URL.
func (c cursor) encode() string {
	b, _ := json.Marshal(c) // numbers and names
	return base64.RawURLEncoding.EncodeToString(b)
}

func decode(s string) (cursor, bool) {
	var c cursor
	if len(s) > maxCursor {
		return nil, false
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	return c, err == nil && json.Unmarshal(b, &c) == nil && c != nil
}

// Newest gives the newest n wanted lines of the logs in dir, in order of time, and a
// cursor behind them.
func Newest(dir string, f Filter, n int) ([]api.LogLine, string, error) {
	n = min(n, maxLines)
	names, err := replicas(dir, f)
	if err != nil {
		return nil, "", err
	}
	var out []api.LogLine
	to := cursor{}
	for _, id := range names {
		lines, end, err := newest(filepath.Join(dir, id+ending), id, f, n)
		if err != nil {
			return nil, "", err
		}
		to[id] = end
		out = append(out, lines...)
	}
	sortLines(out)
	return out[max(0, len(out)-n):], to.encode(), nil
}

// After gives the wanted lines behind a cursor, and the next cursor. Missed says that
// lines between were lost, because the files were moved on faster than they were read. It
// answers ok false for a cursor that none of these functions gave.
func After(dir string, f Filter, from string) (lines []api.LogLine, next string, missed, ok bool, err error) {
	begin, ok := decode(from)
	if !ok {
		return nil, "", false, false, nil
	}
	names, err := replicas(dir, f)
	if err != nil {
		return nil, "", false, true, err
	}
	to := cursor{}
	for _, id := range names {
		more, end, lost, err := after(filepath.Join(dir, id+ending), id, f, begin[id])
		if err != nil {
			return nil, "", false, true, err
		}
		to[id], missed = end, missed || lost
		lines = append(lines, more...)
	}
	sortLines(lines)
	return lines, to.encode(), missed, true, nil
}

func sortLines(lines []api.LogLine) {
	slices.SortStableFunc(lines, func(a, b api.LogLine) int { return a.Time.Compare(b.Time) })
}

// replicas are the ids of the wanted replicas that have a log.
func replicas(dir string, f Filter) ([]string, error) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, file := range files {
		if id, ok := strings.CutSuffix(file.Name(), ending); ok && file.Type().IsRegular() && f.replica(id) {
			out = append(out, id)
		}
	}
	return out, err
}

// newest reads the files of one replica from the newest backwards until it has n lines, or
// those before are too old.
func newest(path, id string, f Filter, n int) (out []api.LogLine, end position, err error) {
	for i := 0; i <= fileOld && len(out) < n; i++ {
		name := path
		if i > 0 {
			name += "." + strconv.Itoa(i)
		}
		file, inode, size, err := open(name)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, end, err
		}
		lines, first, read, err := scan(io.NewSectionReader(file, 0, size), id, f)
		if i == 0 {
			end = at(file, inode, read)
		}
		file.Close()
		if err != nil {
			return nil, end, err
		}
		out = append(lines, out...)
		if !f.Since.IsZero() && !first.IsZero() && first.Before(f.Since) {
			break
		}
	}
	return out[max(0, len(out)-n):], end, nil
}

// after reads what follows a position: the rest of the file that it is in, which may have
// been moved on meanwhile, and all of those that came later.
func after(path, id string, f Filter, from position) (out []api.LogLine, end position, missed bool, err error) {
	chain, found, err := since(path, from)
	defer func() {
		for _, l := range chain {
			l.file.Close()
		}
	}()
	if err != nil || len(chain) == 0 {
		return nil, from, false, err
	}
	for i, l := range chain {
		begin := int64(0)
		if i == 0 && found {
			begin = from.Offset
		}
		lines, _, read, err := scan(io.NewSectionReader(l.file, begin, min(l.size-begin, maxRead)), id, f)
		if err != nil {
			return nil, from, false, err
		}
		out, end = append(out, lines...), at(l.file, l.inode, begin+read)
		if begin+read < l.size && l.size-begin > maxRead {
			break // the rest comes with the next reading
		}
	}
	return out, end, !found && from.Inode != 0, nil
}

// opened is one file of a replica's log.
type opened struct {
	file  *os.File
	inode uint64
	size  int64
}

// since opens the files of a replica from the one that a position is in on, the oldest
// first. If it is in none they are all opened.
func since(path string, from position) (chain []opened, found bool, err error) {
	for i := 0; i <= fileOld; i++ {
		name := path
		if i > 0 {
			name += "." + strconv.Itoa(i)
		}
		file, id, size, err := open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return chain, false, err
		}
		if len(chain) > 0 && chain[0].inode == id { // it was moved on while we looked
			file.Close()
			continue
		}
		chain = append([]opened{{file, id, size}}, chain...)
		if id == from.Inode && from.Offset >= 0 && from.Offset <= size && at(file, id, from.Offset) == from {
			return chain, true, nil
		}
	}
	return chain, false, nil
}

func open(name string) (file *os.File, inode uint64, size int64, err error) {
	file, err = os.Open(name)
	if err != nil {
		return nil, 0, 0, err
	}
	st, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, 0, 0, err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		file.Close()
		return nil, 0, 0, errors.New("this system does not number files")
	}
	return file, sys.Ino, st.Size(), nil
}

// scan gives the wanted lines of a piece of a log, the time of the first line of all, and
// how many bytes the whole lines have. A line that has no end yet is left for later.
func scan(r io.Reader, id string, f Filter) (out []api.LogLine, first time.Time, read int64, err error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, first, 0, err
	}
	if end := bytes.LastIndexByte(b, '\n') + 1; end > 0 || len(b) < maxRead { // else no end will come
		b = b[:end]
	}
	var last time.Time
	var skipped []byte
	for line := range bytes.Lines(b) {
		wanted := f.Request == "" || bytes.Contains(line, []byte(f.Request))
		if !wanted && !first.IsZero() {
			skipped = line
			continue
		}
		if skipped != nil && line[0] != '{' { // what is no record has the time of the line before
			last = parse(skipped, id, last).Time
		}
		skipped = nil
		l := parse(line, id, last)
		if last = l.Time; first.IsZero() {
			first = last
		}
		if wanted && f.line(&l) && (l.Revision == "" || slices.Contains(f.Revisions, l.Revision)) {
			out = append(out, l)
		}
	}
	return out, first, int64(len(b)), nil
}
