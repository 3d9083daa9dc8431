package transfer

import (
	"net"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/slipway-ml/slipway"
)

// Parse reads a reference that names its registry: an image must not go to, or come from,
// a public registry because nobody said where else. Without a tag and a digest only the
// repository is given.
func (o Options) Parse(ref string) (name.Repository, name.Reference, error) {
	options := []name.Option{name.StrictValidation}
	if o.PlainHTTP {
		options = append(options, name.Insecure)
	}
	bad := func(format string, args ...any) error {
		return slipway.Errorf(slipway.Invalid, slipway.CodeInvalidName, "name it as REGISTRY/REPOSITORY:TAG, such as registry.example.com/models/fraud:7", format, args...)
	}
	var repo name.Repository
	parsed, err := name.ParseReference(ref, options...)
	if err == nil {
		repo = parsed.Context()
	} else if repo, err = name.NewRepository(ref, options...); err != nil || !strings.Contains(ref, "/") {
		return repo, nil, bad("%.200q is no name of an image in a registry", ref)
	}
	if host, _, err := net.SplitHostPort(repo.RegistryStr()); o.PlainHTTP && !loopback(host) && !(err != nil && loopback(repo.RegistryStr())) {
		return repo, nil, slipway.Errorf(slipway.Invalid, slipway.CodeNeedTLS, "give the registry a certificate, and leave plain HTTP away",
			"%s is not on this machine, and would be spoken with in the clear", repo.RegistryStr())
	}
	return repo, parsed, nil
}
