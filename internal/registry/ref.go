package registry

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway"
)

// Ref names a version of a model: by number, by alias, or the newest, which is the zero
// value.
type Ref struct {
	Number int    // 0 if it is named otherwise
	Alias  string // empty if it is named otherwise
}

const newest = "latest"

// numberRE is a number as it is printed: one version has one name.
var numberRE = regexp.MustCompile(`^[1-9][0-9]{0,8}$`)

// ParseRef reads "7", "@champion" and "latest". It answers Invalid otherwise.
func ParseRef(s string) (Ref, error) {
	if alias, ok := strings.CutPrefix(s, "@"); ok {
		if err := checkAlias(alias); err != nil {
			return Ref{}, err
		}
		return Ref{Alias: alias}, nil
	}
	if s == newest {
		return Ref{}, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || !numberRE.MatchString(s) {
		return Ref{}, slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "give a number, @alias or latest", "%.40q names no version", s)
	}
	return Ref{Number: n}, nil
}

// AliasRef is the version that an alias names; every model has "latest".
func AliasRef(alias string) Ref {
	if strings.EqualFold(alias, newest) {
		return Ref{}
	}
	return Ref{Alias: alias}
}

// String prints the form that ParseRef reads.
func (r Ref) String() string {
	switch {
	case r.Alias != "":
		return "@" + r.Alias
	case r.Number != 0:
		return strconv.Itoa(r.Number)
	default:
		return newest
	}
}
