package pyenv

import (
	"errors"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// The part of PEP 508 that names a package of an index: no address, no path, nothing that
// the installer would expand.
const (
	namePattern   = `[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?`
	extrasPattern = `(?:\s*\[\s*` + namePattern + `(?:\s*,\s*` + namePattern + `)*\s*\])?`
	bound         = `(?:===?|~=|!=|<=?|>=?)\s*[A-Za-z0-9.*+!_-]+`
	boundsPattern = bound + `(?:\s*,\s*` + bound + `)*`
	markerPattern = `(?:\s*;[A-Za-z0-9_.()'"<>=!~+*, -]+)?`
)

var (
	comment     = regexp.MustCompile(`(^|\s)#.*$`)
	hashes      = regexp.MustCompile(`\s--hash[= ](\S*)`)
	hashRE      = regexp.MustCompile(`^sha(256:[0-9a-f]{64}|384:[0-9a-f]{96}|512:[0-9a-f]{128})$`)
	spaces      = regexp.MustCompile(`\s+`)
	packageRE   = regexp.MustCompile(`^` + namePattern)
	requirement = regexp.MustCompile(`^` + namePattern + extrasPattern + `\s*(?:` + boundsPattern + `|\(\s*` + boundsPattern + `\s*\))?` + markerPattern + `$`)
	archive     = regexp.MustCompile(`(?i)^\S+\.(whl|egg|zip|tar|tgz|tbz|txz|tlz|tar\.[a-z0-9]+)($|\s|\[|;)`)
	include     = regexp.MustCompile(`^(-r|--requirement|-c|--constraint)(?:\s+|=)?(.*)$`)
)

// maxIncluded bounds how many files requirements.txt may bring in.
const maxIncluded = 16

// reader reads requirements files, and those that they name.
type reader struct {
	dir   fs.FS
	files []string // being read, or done
	r     *Requirements
}

// file reads one file of requirements, or of constraints.
func (x *reader) file(name string, constraints bool) error {
	text, err := readFile(x.dir, name)
	if err != nil {
		return err
	}
	x.files = append(x.files, name)
	pending, start := "", 0
	lines := strings.Split(text, "\n")
	for i, raw := range lines {
		line := strings.TrimRight(raw, "\r")
		if start == 0 {
			start = i + 1
		}
		if strings.HasSuffix(line, `\`) && i+1 < len(lines) && !strings.HasPrefix(strings.TrimSpace(line), "#") {
			pending += strings.TrimSuffix(line, `\`) + " "
			continue
		}
		if err := x.add(newLine(pending+line, name, start), constraints); err != nil {
			return err
		}
		pending, start = "", 0
	}
	return nil
}

// newLine takes a line apart: its hashes are kept beside the requirement.
func newLine(raw, file string, number int) Line {
	raw = comment.ReplaceAllString(raw, "")
	l := Line{File: file, Number: number}
	for _, m := range hashes.FindAllStringSubmatch(raw, -1) {
		l.Hashes = append(l.Hashes, m[1])
	}
	l.Text = strings.TrimSpace(spaces.ReplaceAllString(hashes.ReplaceAllString(raw, ""), " "))
	return l
}

// add takes a line: a requirement, a constraint, or the name of another file.
func (x *reader) add(l Line, constraints bool) error {
	if l.Text == "" {
		return nil
	}
	if m := include.FindStringSubmatch(l.Text); m != nil {
		return x.include(l, m[2], constraints || strings.HasPrefix(strings.TrimLeft(m[1], "-"), "c"))
	}
	if err := l.check(); err != nil {
		return err
	}
	if len(x.r.Lines)+len(x.r.Constraints) == maxLines {
		return bad(l.File, l.Number, "ask for fewer packages", "there are more than %d requirements", maxLines)
	}
	if constraints {
		x.r.Constraints = append(x.r.Constraints, l)
	} else {
		x.r.Lines = append(x.r.Lines, l)
	}
	return nil
}

func (x *reader) include(l Line, name string, constraints bool) error {
	const next = "name a file of the model directory, or write its lines here"
	absolute := path.IsAbs(name)
	name = path.Join(path.Dir(l.File), name)
	switch {
	case absolute || strings.Contains(name, ":") || !fs.ValidPath(name) || name == ".":
		return bad(l.File, l.Number, next, "the file it names is outside of the model directory")
	case slices.Contains(x.files, name):
		return bad(l.File, l.Number, next, "the file it names is read already")
	case len(x.files) == maxIncluded:
		return bad(l.File, l.Number, next, "is the name of one file too many: at most %d are read", maxIncluded)
	}
	err := x.file(name, constraints)
	if errors.Is(err, fs.ErrNotExist) {
		return bad(l.File, l.Number, next, "the file it names is not in the model directory")
	}
	return err
}

// check refuses what would let a model choose where code comes from, and what is no
// requirement.
func (l Line) check() error {
	switch {
	case len(l.Text) > 1024 || len(l.Hashes) > 256:
		return bad(l.File, l.Number, pinAgain, "is longer than 1024 bytes, or has more than 256 hashes")
	case strings.ContainsFunc(l.Text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return bad(l.File, l.Number, pinAgain, "has a control character")
	case strings.HasPrefix(l.Text, "-"):
		option, _, _ := strings.Cut(l.Text, " ")
		option, _, _ = strings.Cut(option, "=") // the value may hold a password
		return bad(l.File, l.Number, "remove it: the platform's operator says where packages come from", "the option %.40q is not allowed", option)
	case strings.ContainsAny(l.Text, `@/\`), strings.HasPrefix(l.Text, "."), archive.MatchString(l.Text):
		return bad(l.File, l.Number, "publish the package in your index and pin its version", "a package by its address or path is not allowed")
	case !requirement.MatchString(l.Text):
		return bad(l.File, l.Number, pinAgain, "is no requirement, such as six==1.17.0")
	case slices.ContainsFunc(l.Hashes, func(h string) bool { return !hashRE.MatchString(h) }):
		return bad(l.File, l.Number, pinAgain, "has a hash that is not sha256:, sha384: or sha512: and its hexadecimal digits")
	}
	return nil
}

// name is the normalized name of the package (PEP 503).
func (l Line) name() string { return normalize(packageRE.FindString(l.Text)) }

// canonical is the requirement with a normalized name, which cannot be taken for a file.
func (l Line) canonical() string { return l.name() + l.Text[len(packageRE.FindString(l.Text)):] }

var separators = regexp.MustCompile(`[-_.]+`)

func normalize(name string) string {
	return strings.ToLower(separators.ReplaceAllString(name, "-"))
}
