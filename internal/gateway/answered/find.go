package answered

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Answer is one request that was answered.
type Answer struct {
	Time    time.Time `json:"time"` // to the millisecond
	Name    string    `json:"name"`
	Outcome string    `json:"outcome"`
}

// maxFound bounds the answers to one question.
const maxFound = 20

// Find gives the newest answers to requests of an id, newest first: clients may have used it
// for more than one. What was noted before is found. It reads the files, newest first, and
// takes up to seconds when they are full.
func (l *Log) Find(ctx context.Context, id string) ([]Answer, error) {
	l.Flush()
	files, err := l.files()
	if err != nil {
		return nil, err
	}
	want := l.hash(id)
	var out []Answer
	for _, name := range slices.Backward(files) {
		found, err := find(ctx, filepath.Join(l.dir, name), want)
		if errors.Is(err, os.ErrNotExist) { // swept meanwhile
			continue
		}
		if err != nil {
			return out, err
		}
		slices.Reverse(found)
		out = append(out, found[:min(len(found), maxFound-len(out))]...)
		if len(out) == maxFound {
			break
		}
	}
	return out, nil
}

// find reads one file. What a crash left at its end is not an error.
func find(ctx context.Context, path string, want [hashSize]byte) ([]Answer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return scan(ctx, bufio.NewReaderSize(f, 1<<16), want)
}

// lookup is how many records are read between two looks at ctx.
const lookup = 1 << 16

// whole fills b, and says whether there was enough.
func whole(r io.Reader, b []byte) bool {
	_, err := io.ReadFull(r, b)
	return err == nil
}

// scan reads records. It ends where they are no longer whole, and keeps the newest answers.
func scan(ctx context.Context, r io.Reader, want [hashSize]byte) (out []Answer, _ error) {
	var rec [size]byte
	if !whole(r, rec[:headSize]) || string(rec[:len(magic)]) != magic {
		return nil, nil // a file that was just begun
	}
	began := int64(binary.LittleEndian.Uint64(rec[len(magic):]))
	names := map[uint16]string{}
	for n := 0; ; n++ {
		if n%lookup == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !whole(r, rec[:]) || check(rec[:size-1]) != rec[size-1] {
			return out, nil
		}
		ms, name, outcome := binary.LittleEndian.Uint32(rec[hashSize:]), binary.LittleEndian.Uint16(rec[hashSize+4:]), Outcome(rec[size-2])
		if outcome == named {
			text := make([]byte, (min(int(ms), maxName+1)+size-1)/size*size)
			if !whole(r, text) || ms > maxName {
				return out, nil
			}
			names[name] = string(text[:ms])
			continue
		}
		if [hashSize]byte(rec[:hashSize]) == want {
			if len(out) == maxFound {
				out = slices.Delete(out, 0, 1)
			}
			out = append(out, Answer{time.UnixMilli(began + int64(ms)).UTC(), names[name], outcome.String()})
		}
	}
}
