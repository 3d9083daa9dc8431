package logfile

import (
	"bytes"
	"log/slog"
	"time"

	"golang.org/x/time/rate"
)

const (
	maxLine = 16 << 10 // bytes of a line that a model prints
	cutMark = "… [cut]"

	printRate  = 256 << 10 // bytes a second that a model may print for long
	printBurst = 2 << 20   // and at once

	// requestMark begins what a worker writes between two lines to say for which requests
	// the next ones are; without an id, for none.
	requestMark = 0
	maxRequests = 255 // bytes of their ids
)

// Lines turns one output stream of another process into log records, one a line. A long
// line is cut and marked; of a flood only the beginning is kept, or it would push
// everything else out of the log. It is not safe for concurrent use.
type Lines struct {
	log     *slog.Logger
	line    []byte
	cut     bool
	budget  *rate.Limiter
	dropped int
	request string
}

// NewLines makes a writer whose lines become records of log.
func NewLines(log *slog.Logger) *Lines {
	return &Lines{log: log, budget: rate.NewLimiter(printRate, printBurst)}
}

// Write logs the lines that end in p. It never fails, for that would block the writer.
func (l *Lines) Write(p []byte) (int, error) {
	n := len(p)
	for {
		end := bytes.IndexByte(p, '\n')
		part := p
		if end >= 0 {
			part = p[:end]
		}
		if free := maxLine - len(l.line); len(part) > free {
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
func (l *Lines) Flush() {
	text, request, marked := bytes.Cut(l.line, []byte{requestMark})
	l.record(string(bytes.TrimRight(text, "\r")))
	if marked {
		l.request = string(request[:min(len(request), maxRequests)])
	}
	l.line, l.cut = l.line[:0], false
}

func (l *Lines) record(text string) {
	if l.cut {
		text += cutMark
	}
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
	if l.request == "" {
		l.log.Info(text)
	} else {
		l.log.Info(text, "request", l.request)
	}
}
