package spec

import (
	"math"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/modeluri"
	"github.com/slipway-ml/slipway/internal/spec/strict"
)

func tier() *strict.Kind {
	return &strict.Kind{Form: strict.NumberForm, Schema: map[string]any{"type": "integer", "minimum": 1, "maximum": 4},
		Parse: func(s string) (any, strict.Mistake) {
			if len(s) == 1 && s[0] >= '1' && s[0] <= '4' {
				return Tier(s[0] - '0'), strict.Mistake{}
			}
			return nil, strict.Mistake{Message: "must be 1, 2, 3 or 4", Next: "use 1 for customer- or money-critical, up to 4 for an experiment"}
		}}
}

// sourceForms are those of Source, for editors; what they let through is read more closely.
const sourceForms = `^(\.{1,2}/|/)|^[a-z][a-z0-9-]{0,62}(:[1-9][0-9]*|@[A-Za-z0-9_-]{1,255})$|^models:/[^/:]+(/([1-9][0-9]*|latest)|@[A-Za-z0-9_-]{1,255})$|^runs:/[^/]+/.+$`

func source() *strict.Kind {
	return &strict.Kind{
		Schema: map[string]any{"type": "string", "maxLength": 1024, "pattern": sourceForms},
		Parse: func(s string) (any, strict.Mistake) {
			if _, m := strict.Text(1024).Parse(s); m.Message != "" {
				return nil, m
			}
			if s == "." || s == ".." || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../") || strings.HasPrefix(s, "/") {
				return Source{Dir: s}, strict.Mistake{}
			}
			if modeluri.Scheme(s) != "" {
				return address(s)
			}
			return reference(s)
		}}
}

// address reads what MLflow's users write: models:/name/7, models:/name@alias,
// models:/name/latest and runs:/RUN/PATH.
func address(s string) (any, strict.Mistake) {
	const next = "write models:/NAME/VERSION, models:/NAME@ALIAS, models:/NAME/latest or runs:/RUN/PATH"
	u, err := modeluri.Parse(s)
	switch {
	case err != nil:
		return nil, strict.Mistake{Message: "is no address of a version or of a run's artifacts", Next: next}
	case u.Version > math.MaxInt32:
		return nil, strict.Mistake{Message: "has a number that no version has", Next: next}
	case u.Stage != "":
		return nil, strict.Mistake{Message: "names a stage, and those are deprecated", Next: "point an alias at the version: platform models alias " + u.Model + " " + strings.ToLower(u.Stage) + " VERSION, and write models:/" + u.Model + "@" + strings.ToLower(u.Stage)}
	case u.Logged != "":
		return nil, strict.Mistake{Message: "is no version: it has no number and no alias", Next: "write models:/" + u.Logged + "/VERSION; a logged model is named by its run, as runs:/RUN/model is"}
	case u.Run != "" && u.Path == "" || u.Artifact != "":
		return nil, strict.Mistake{Message: "does not say which model of a run", Next: "write runs:/RUN/PATH, where PATH is what the model was logged as"}
	case u.Alias != "" && !aliasRE.MatchString(u.Alias):
		return nil, strict.Mistake{Message: "is no name of an alias", Next: next}
	case !modelRE.MatchString(u.Model) && u.Model != "":
		return nil, strict.Mistake{Message: "is no name of a model", Next: next}
	}
	return Source{Model: u.Model, Version: u.Version, Alias: u.Alias, Latest: u.Latest, Run: u.Run, Path: u.Path}, strict.Mistake{}
}

// Names that MLflow allows. How a model may be named that is registered first by this file,
// is narrower.
var (
	aliasRE = regexp.MustCompile(`^[\p{L}\p{N}_-]{1,255}$`)
	modelRE = regexp.MustCompile(`^[^/:\x00-\x1f\x7f]{1,256}$`)
)

// reference reads name:version and name@alias.
func reference(s string) (any, strict.Mistake) {
	if strings.Contains(s, "://") {
		return nil, strict.Mistake{Message: "is an address that is not this platform's", Next: "use a directory such as ./model, or register the model and write models:/NAME/VERSION or models:/NAME@ALIAS"}
	}
	next := "use a directory such as ./model or /models/fraud, name:version such as fraud:3, or name@alias such as fraud@champion"
	if model, alias, ok := strings.Cut(s, "@"); ok {
		if !isName(model) || !aliasRE.MatchString(alias) {
			return nil, strict.Mistake{Message: "is no name@alias", Next: next}
		}
		return Source{Model: model, Alias: alias}, strict.Mistake{}
	}
	if model, version, ok := strings.Cut(s, ":"); ok {
		v, err := strconv.Atoi(version)
		if !isName(model) || err != nil || v < 1 || v > math.MaxInt32 || version[0] < '1' || version[0] > '9' {
			return nil, strict.Mistake{Message: "is no name:version", Next: next}
		}
		return Source{Model: model, Version: v}, strict.Mistake{}
	}
	return nil, strict.Mistake{Message: "names neither a directory nor a version", Next: next}
}

// variables are names of environment variables; those that say how a process runs at all are
// the platform's.
var (
	variables = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,62}$`)
	reserved  = regexp.MustCompile(`^(SLIPWAY_|LD_|PYTHON|OMP_|PATH$|HOME$|LANG$|IFS$|ENV$|BASH_ENV$)`)
)

func variable() *strict.Kind {
	const next = "name an environment variable, such as DATABASE_PASSWORD: capital letters, digits and _"
	return &strict.Kind{Schema: map[string]any{"type": "string", "pattern": variables.String()},
		Parse: func(s string) (any, strict.Mistake) {
			switch {
			case !variables.MatchString(s):
				return nil, strict.Mistake{Message: "is no name of an environment variable", Next: next}
			case reserved.MatchString(s):
				return nil, strict.Mistake{Message: "is reserved", Next: "choose another name: this one says how the process runs"}
			}
			return s, strict.Mistake{}
		}}
}

func isName(s string) bool {
	_, err := slipway.ParseName(s)
	return err == nil
}

var (
	pythonRE = regexp.MustCompile(`^3\.([89]|1[0-9])(\.[0-9]{1,2})?$`)
	remoteRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)
	uriRE    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]+:[^\s\x00-\x1f\x7f]+$`)
	webRE    = regexp.MustCompile(`^https?://[^\s\x00-\x1f\x7f/?#@]+(/[^\s\x00-\x1f\x7f?#]*)?$`)
)

// matching is text of a form, said in words when it has another.
func matching(form *regexp.Regexp, limit int, message, next string) *strict.Kind {
	text := strict.Text(limit)
	return &strict.Kind{Schema: map[string]any{"type": "string", "maxLength": limit, "pattern": form.String()},
		Parse: func(s string) (any, strict.Mistake) {
			if v, m := text.Parse(s); m.Message != "" {
				return v, m
			}
			if !form.MatchString(s) {
				return nil, strict.Mistake{Message: message, Next: next}
			}
			return s, strict.Mistake{}
		}}
}

func python() *strict.Kind {
	return matching(pythonRE, 8, "is no version of Python 3", `write "3.11", in quotes`)
}

func remoteModel() *strict.Kind {
	return matching(remoteRE, 200, "is no name of a model in a path", "use letters, digits, dots, dashes and underscores")
}

// uri is any address of data without credentials in it. The container that Azure's storage
// schemes write before an @ is none.
func uri() *strict.Kind {
	k := matching(uriRE, 2048, "is no URI", "write a scheme and no spaces, such as s3://bucket/path/")
	text := k.Parse
	k.Parse = func(s string) (any, strict.Mistake) {
		v, m := text(s)
		if m.Message != "" {
			return nil, m
		}
		for rest := s; ; {
			u, err := url.Parse(rest)
			if err != nil {
				return nil, strict.Mistake{Message: "is no URI", Next: "write a scheme and no spaces, such as s3://bucket/path/"}
			}
			if hasCredentials(u) {
				return nil, strict.Mistake{Message: "has credentials in it, which this file would spread",
					Next: "change them, since they are known now, and write the address without"}
			}
			if rest = u.Opaque; !strings.Contains(rest, "://") { // jdbc:postgresql://…
				return v, strict.Mistake{}
			}
		}
	}
	return k
}

func hasCredentials(u *url.URL) bool {
	if u.User != nil {
		_, password := u.User.Password()
		switch strings.ToLower(u.Scheme) {
		case "abfs", "abfss", "wasb", "wasbs":
			if password {
				return true
			}
		default:
			return true
		}
	}
	for _, query := range []string{u.RawQuery, u.Fragment} {
		for _, pair := range strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' }) {
			key, _, _ := strings.Cut(strings.ToLower(pair), "=")
			if key == "sig" {
				return true
			}
			for _, word := range []string{"signature", "credential", "password", "passwd", "secret", "token", "apikey", "api_key", "accesskey", "access_key"} {
				if strings.Contains(key, word) {
					return true
				}
			}
		}
	}
	return false
}

// web is the base address of a server.
func web() *strict.Kind {
	const next = "write http:// or https://, a host, and a path if there is one"
	k := matching(webRE, 1024, "is no address of a server", next)
	text := k.Parse
	k.Parse = func(s string) (any, strict.Mistake) {
		v, m := text(s)
		if m.Message != "" {
			return nil, m
		}
		if u, err := url.Parse(s); err != nil || u.Hostname() == "" || u.User != nil {
			return nil, strict.Mistake{Message: "is no address of a server", Next: next}
		}
		return v, strict.Mistake{}
	}
	return k
}

func digest() *strict.Kind {
	return &strict.Kind{Schema: map[string]any{"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
		Parse: func(s string) (any, strict.Mistake) {
			v, err := slipway.ParseDigest(s)
			if err != nil {
				return nil, strict.Mistake{Message: "is no digest", Next: "give sha256: and 64 lower-case hexadecimal digits, as sha256sum prints them"}
			}
			return v, strict.Mistake{}
		}}
}
