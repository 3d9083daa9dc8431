// Package logfile keeps what replicas log: files of bounded size, written line by line as
// JSON records, and read again by replica, request and time.
package logfile

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Bounds of a log.
const (
	fileBytes = 8 << 20 // of one file
	fileOld   = 3       // files kept besides
)

// Rotating is a log file of bounded size, safe for concurrent use. When a write would
// make it longer than 8 MiB, FILE becomes FILE.1, FILE.1 becomes FILE.2 and so on; three old
// files are kept.
type Rotating struct {
	path   string
	max    int64
	onOpen func(*os.File) error

	mu   sync.Mutex
	file *os.File
	size int64
}

// Open opens or makes a log file that only its owner may read. OnOpen, which may
// be nil, is called with each new file.
func Open(path string, onOpen func(*os.File) error) (*Rotating, error) {
	r := &Rotating{path: path, max: fileBytes, onOpen: onOpen}
	if err := r.open(); err != nil {
		return nil, err
	}
	return r, nil
}

// Stdio makes descriptors 1 and 2 refer to a file, so that what the Go runtime prints when
// it dies is found there. It is meant for Open.
func Stdio(f *os.File) error {
	for _, fd := range []int{1, 2} {
		if err := unix.Dup3(int(f.Fd()), fd, 0); err != nil {
			return fmt.Errorf("log to descriptor %d: %w", fd, err)
		}
	}
	return nil
}

func (r *Rotating) open() error {
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && r.onOpen != nil {
		err = r.onOpen(f)
	}
	if err != nil {
		f.Close()
		return err
	}
	if r.file != nil {
		r.file.Close()
	}
	r.file, r.size = f, info.Size()
	return nil
}

// Write appends p to the file in one piece, after a rotation if it is due.
func (r *Rotating) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.size > 0 && r.size+int64(len(p)) > r.max {
		r.rotate()
	}
	n, err := r.file.Write(p)
	r.size += int64(n)
	return n, err
}

// rotate moves the files on. If that fails the file is emptied: bounded is worth more than
// complete.
func (r *Rotating) rotate() {
	for i := fileOld - 1; i > 0; i-- {
		_ = os.Rename(fmt.Sprintf("%s.%d", r.path, i), fmt.Sprintf("%s.%d", r.path, i+1)) // absent at first
	}
	err := os.Rename(r.path, r.path+".1")
	if err == nil {
		err = r.open()
	}
	if err != nil && r.file.Truncate(0) == nil {
		r.size = 0
	}
}

// Close closes the file.
func (r *Rotating) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.file.Close()
}
