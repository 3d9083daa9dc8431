package runtime

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

// Bounds of a log.
const (
	logBytes = 8 << 20  // of one file
	logOld   = 3        // files kept besides
	logLine  = 16 << 10 // of a line that a model prints
	cutMark  = "… [cut]"

	printRate  = 256 << 10 // bytes a second that a model may print for long
	printBurst = 2 << 20   // and at once
)

// RotatingFile is a log file of bounded size, safe for concurrent use. When a write would
// make it longer than 8 MiB, FILE becomes FILE.1, FILE.1 becomes FILE.2 and so on; three old
// files are kept.
type RotatingFile struct {
	path   string
	max    int64
	onOpen func(*os.File) error

	mu   sync.Mutex
	file *os.File
	size int64
}

// OpenRotating opens or makes a log file that only its owner may read. OnOpen, which may
// be nil, is called with each new file.
func OpenRotating(path string, onOpen func(*os.File) error) (*RotatingFile, error) {
	r := &RotatingFile{path: path, max: logBytes, onOpen: onOpen}
	if err := r.open(); err != nil {
		return nil, err
	}
	return r, nil
}

// Stdio makes descriptors 1 and 2 refer to a file, so that what the Go runtime prints when
// it dies is found there. It is meant for OpenRotating.
func Stdio(f *os.File) error {
	for _, fd := range []int{1, 2} {
		if err := unix.Dup3(int(f.Fd()), fd, 0); err != nil {
			return fmt.Errorf("log to descriptor %d: %w", fd, err)
		}
	}
	return nil
}

func (r *RotatingFile) open() error {
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
func (r *RotatingFile) Write(p []byte) (int, error) {
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
func (r *RotatingFile) rotate() {
	for i := logOld - 1; i > 0; i-- {
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
func (r *RotatingFile) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.file.Close()
}

// newLogger writes records as JSON lines {time, level, msg, replica, revision, stream, …}.
func newLogger(w *RotatingFile, cfg Config) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, nil)).With("replica", cfg.Replica, "revision", cfg.Revision)
}

// lineLogger turns one output stream of another process into log records, one a line. A
// long line is cut and marked; of a flood only the beginning is kept, or it would push
// everything else out of the log. It is not safe for concurrent use.
type lineLogger struct {
	log     *slog.Logger
	line    []byte
	cut     bool
	budget  *rate.Limiter
	dropped int
}

func newLineLogger(log *slog.Logger) *lineLogger {
	return &lineLogger{log: log, budget: rate.NewLimiter(printRate, printBurst)}
}

// Write logs the lines that end in p. It never fails, for that would block the writer.
func (l *lineLogger) Write(p []byte) (int, error) {
	n := len(p)
	for {
		end := bytes.IndexByte(p, '\n')
		part := p
		if end >= 0 {
			part = p[:end]
		}
		if free := logLine - len(l.line); len(part) > free {
			part, l.cut = part[:free], true
		}
		l.line = append(l.line, part...)
		if end < 0 {
			return n, nil
		}
		l.Flush()
		p = p[end+1:]
	}
}

// Flush logs what was written since the last line's end.
func (l *lineLogger) Flush() {
	text := string(bytes.TrimRight(l.line, "\r"))
	if l.cut {
		text += cutMark
	}
	l.line, l.cut = l.line[:0], false
	if text == "" {
		return
	}
	if !l.budget.AllowN(time.Now(), len(text)) {
		l.dropped++
		return
	}
	if l.dropped > 0 {
		l.log.Warn("too much was printed at once", "lines_dropped", l.dropped)
		l.dropped = 0
	}
	l.log.Info(text)
}
