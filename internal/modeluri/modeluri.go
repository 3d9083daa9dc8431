// Package modeluri reads the addresses by which MLflow's users name models and what models
// are made of: models:/fraud/7, models:/fraud@champion, runs:/RUN/model and their like.
package modeluri

import (
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
)

// Schemes of what is read here.
const (
	Models    = "models"
	Runs      = "runs"
	Artifacts = "mlflow-artifacts"
)

// URI is what an address names, by exactly one of: (Model, Version), (Model, Alias), (Model,
// Stage), (Model, Latest), Logged, (Run, Path) and Artifact.
type URI struct {
	Model   string
	Version int
	Alias   string
	Stage   string // the newest version in it; not checked to be one that there is
	Latest  bool

	Logged string // the id of a logged model
	Run    string
	Path   string // below the artifacts of the run; empty: all of them

	Artifact string // a path in this platform's artifacts
}

// String prints the form that Parse reads.
func (u URI) String() string {
	switch {
	case u.Version != 0:
		return "models:/" + u.Model + "/" + strconv.Itoa(u.Version)
	case u.Alias != "":
		return "models:/" + u.Model + "@" + u.Alias
	case u.Stage != "":
		return "models:/" + u.Model + "/" + u.Stage
	case u.Latest:
		return "models:/" + u.Model + "/latest"
	case u.Logged != "":
		return "models:/" + u.Logged
	case u.Run != "":
		return strings.TrimSuffix("runs:/"+u.Run+"/"+u.Path, "/")
	default:
		return "mlflow-artifacts:/" + u.Artifact
	}
}

const maxURI = 2000 // bytes

func bad(next, format string, args ...any) error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, next, format, args...)
}

// Scheme says whether an address is one that Parse reads.
func Scheme(s string) string {
	scheme, _, ok := strings.Cut(s, ":")
	switch scheme = strings.ToLower(scheme); scheme {
	case Models, Runs, Artifacts:
		if ok {
			return scheme
		}
	}
	return ""
}

// Parse reads an address. It answers Invalid for one of another scheme, for one that names a
// server, and for a path that leads out of where it lies.
func Parse(s string) (URI, error) {
	if len(s) > maxURI {
		return URI{}, bad("shorten it", "the address is longer than %d bytes", maxURI)
	}
	scheme := Scheme(s)
	_, rest, _ := strings.Cut(s, ":")
	if scheme == "" {
		return URI{}, bad("write models:/NAME/VERSION, models:/NAME@ALIAS or runs:/RUN/PATH", "%.200q is no address of a model", s)
	}
	if strings.HasPrefix(rest, "//") && !strings.HasPrefix(rest, "///") {
		return URI{}, bad("leave the server out: "+scheme+":/…", "%.200q names a server, and only what is here can be used", s)
	}
	rest = strings.TrimLeft(rest, "/")
	switch scheme {
	case Models:
		return parseModel(s, rest)
	case Runs:
		return parseRun(s, rest)
	default:
		p, err := inside(s, rest)
		return URI{Artifact: p}, err
	}
}

func parseModel(s, rest string) (u URI, err error) {
	improper := bad("name a version by its number, or by an alias", "Not a proper models:/ URI: %s. Models URIs must be of the form 'models:/name/suffix' or 'models:/name@alias' "+
		"where suffix is a version, stage, or the string 'latest' and where alias is a registered model alias. Only one of suffix or alias can be defined at a time.", slipway.OneLine(s, 200))
	name, suffix, has := strings.Cut(rest, "/")
	if strings.TrimSpace(name) == "" || strings.Contains(suffix, "/") || has && strings.TrimSpace(suffix) == "" {
		return u, improper
	}
	switch at := strings.LastIndex(name, "@"); {
	case has && strings.Trim(suffix, "0123456789") == "":
		n, err := strconv.Atoi(suffix)
		if err != nil || n < 1 {
			return u, improper
		}
		return URI{Model: name, Version: n}, nil
	case has && strings.EqualFold(suffix, "latest"):
		return URI{Model: name, Latest: true}, nil
	case has:
		return URI{Model: name, Stage: suffix}, nil
	case at == 0 || at == len(name)-1:
		return u, improper
	case at > 0:
		return URI{Model: name[:at], Alias: name[at+1:]}, nil
	default:
		return URI{Logged: name}, nil
	}
}

func parseRun(s, rest string) (URI, error) {
	run, below, _ := strings.Cut(rest, "/")
	if run == "" {
		return URI{}, bad("write runs:/RUN/PATH", "Not a proper runs:/ URI: %s", slipway.OneLine(s, 200))
	}
	p, err := inside(s, below)
	return URI{Run: run, Path: p}, err
}

// inside cleans a path and refuses one that, however often it is unescaped, leads out of
// where it lies.
func inside(s, p string) (string, error) {
	for plain := p; ; {
		for part := range strings.SplitSeq(plain, "/") {
			if part == ".." || strings.ContainsAny(part, "\x00\\") {
				return "", bad("write the path without ..", "%.200q has a path that leads elsewhere", s)
			}
		}
		next, err := url.PathUnescape(plain)
		if err != nil || next == plain {
			break
		}
		plain = next
	}
	return strings.TrimPrefix(path.Clean("/"+p), "/"), nil
}

// unescaped unescapes a text for as long as that changes it, as MLflow does before it looks
// for paths that lead elsewhere.
func unescaped(s string) string {
	for {
		next, err := url.QueryUnescape(s)
		if err != nil || next == s {
			return s
		}
		s = next
	}
}

// relative is MLflow's message for a source with a path that is not absolute and clean.
const relative = "Invalid model version source: '%s'. If supplying a source as an http, https, local file path, ftp, objectstore, or mlflow-artifacts uri, " +
	"an absolute path must be provided without relative path references present. Please provide an absolute path."

// CheckSource answers Invalid, in MLflow's words, for a source of a version with a scheme
// whose path could be taken for another one.
func CheckSource(source string) error {
	refused := bad("give an absolute path without ..", relative, slipway.OneLine(source, maxURI))
	if len(source) > maxURI {
		return bad("shorten it", "'source' exceeds the maximum length of %d bytes", maxURI)
	}
	plain := unescaped(source)
	_, p, ok := strings.Cut(plain, ":")
	if !ok {
		p = plain
	}
	if rest, has := strings.CutPrefix(p, "//"); has {
		_, p, has = strings.Cut(rest, "/")
		if has {
			p = "/" + p
		} else {
			p = ""
		}
	}
	if end := strings.IndexAny(p, "?#"); end >= 0 {
		p = p[:end]
	}
	p = strings.TrimRight(p, "/")
	for strings.Contains(p, "//") {
		p = strings.ReplaceAll(p, "//", "/")
	}
	for part := range strings.SplitSeq(plain, "/") {
		if part == ".." {
			return refused
		}
	}
	if strings.ContainsRune(p, 0) || path.Clean("/"+strings.TrimPrefix(p, "/")) != p && p != "" {
		return refused
	}
	return nil
}

// IsLocal says whether a source is a path in a file system.
func IsLocal(source string) bool {
	scheme, rest, ok := strings.Cut(source, ":")
	return !ok || strings.ContainsAny(scheme, "/.") || strings.EqualFold(scheme, "file") || rest == ""
}

// Local refuses a path in a file system, in MLflow's words.
func Local(source string) error {
	return bad("log the model to this platform, and register it from there",
		"Invalid model version source: '%s'. To use a local path as a model version source, the run_id request parameter has to be specified and the local path has to be contained within the artifact directory of the run specified by the run_id.",
		slipway.OneLine(source, maxURI))
}

// Foreign says that a source is not of what was named beside it, in MLflow's words.
func Foreign(source, parameter string) error {
	return bad(fmt.Sprintf("give the %s of what contains the source", parameter),
		"Invalid model version source: '%s'. The %s request parameter must identify the resource that contains the source.", slipway.OneLine(source, maxURI), parameter)
}
