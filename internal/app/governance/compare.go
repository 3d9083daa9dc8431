package governance

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// Compare says what differs between two versions of a model.
func (s *Service) Compare(ctx context.Context, p slipway.Principal, model, from, to string) (api.Comparison, error) {
	a, err := s.version(ctx, p, authz.ModelRead, model, from)
	if err != nil {
		return api.Comparison{}, err
	}
	b, err := s.version(ctx, p, authz.ModelRead, model, to)
	if err != nil {
		return api.Comparison{}, err
	}
	out := api.Comparison{Model: model, From: a.Number, To: b.Number, Same: a.Digest != "" && a.Digest == b.Digest, Files: differences(filesByPath(a), filesByPath(b)),
		Inputs: []api.Change{}, Outputs: []api.Change{}, Requirements: []api.Change{}, Flavors: []api.Change{}, Metrics: []api.Change{}, Params: []api.Change{}, Datasets: []api.Change{}}
	am, as, aerr := s.read(ctx, a)
	bm, bs, berr := s.read(ctx, b)
	for i, err := range []error{aerr, berr} {
		if err != nil {
			out.Notes = append(out.Notes, fmt.Sprintf("version %d: %s", []int{a.Number, b.Number}[i], slipway.AsError(err).Message))
		}
	}
	if aerr == nil && berr == nil {
		out.Inputs, out.Outputs = differences(byField(as.Inputs), byField(bs.Inputs)), differences(byField(as.Outputs), byField(bs.Outputs))
		out.Requirements, out.Flavors = differences(byPackage(am.Requirements), byPackage(bm.Requirements)), differences(set(am.Flavors), set(bm.Flavors))
	}
	return out, s.compareRuns(ctx, p, a, b, &out)
}

// compareRuns compares the runs that made two versions.
func (s *Service) compareRuns(ctx context.Context, p slipway.Principal, a, b registry.Version, out *api.Comparison) error {
	var runs [2]*api.RunLineage
	for i, v := range []registry.Version{a, b} {
		d, err := s.Models.Detail(ctx, v.Model, v.Number)
		if err == nil {
			runs[i], err = s.lineage(ctx, p, d)
		}
		if err != nil {
			return err
		}
		switch {
		case runs[i] == nil:
			out.Notes = append(out.Notes, fmt.Sprintf("version %d does not say which run made it", v.Number))
		case runs[i].Missing != "":
			out.Notes = append(out.Notes, fmt.Sprintf("version %d: %s", v.Number, runs[i].Missing))
		}
	}
	if runs[0] != nil && runs[1] != nil {
		compareLineage(runs[0], runs[1], out)
	}
	return nil
}

func compareLineage(a, b *api.RunLineage, out *api.Comparison) {
	out.Metrics, out.Params = differences(texts(a.Metrics), texts(b.Metrics)), differences(a.Params, b.Params)
	out.Datasets = differences(byUse(a.Datasets), byUse(b.Datasets))
}

// differences lists by name what two sets do not agree on.
func differences(a, b map[string]string) []api.Change {
	out := []api.Change{}
	names := maps.Clone(a)
	if names == nil {
		names = map[string]string{}
	}
	maps.Copy(names, b)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		from, was := a[name]
		to, is := b[name]
		if was != is || from != to {
			out = append(out, api.Change{Name: name, From: from, To: to})
		}
	}
	return out
}

func filesByPath(v registry.Version) map[string]string {
	out := map[string]string{}
	for _, f := range v.Files {
		out[f.Path] = fmt.Sprintf("%s %d bytes", f.Digest.Short(), f.Size)
		if f.Executable {
			out[f.Path] += ", executable"
		}
	}
	return out
}

func byField(all []tensor.Field) map[string]string {
	out := map[string]string{}
	for i, f := range all {
		name := f.Name
		if name == "" {
			name = fmt.Sprintf("%d", i+1)
		}
		out[name] = typeOf(f)
		if !f.Required {
			out[name] += ", optional"
		}
	}
	return out
}

// byPackage splits requirements at the first character that is no part of a package's name.
func byPackage(lines []string) map[string]string {
	out := map[string]string{}
	for _, l := range lines {
		end := strings.IndexFunc(l, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-[]", r))
		})
		if end <= 0 {
			end = len(l)
		}
		version := strings.TrimSpace(l[end:])
		if version == "" {
			version = "any"
		}
		out[strings.ToLower(l[:end])] = version
	}
	return out
}

func set(all []string) map[string]string {
	out := map[string]string{}
	for _, one := range all {
		out[one] = "yes"
	}
	return out
}

func texts(all map[string]any) map[string]string {
	out := map[string]string{}
	for k, v := range all {
		out[k] = fmt.Sprint(v)
	}
	return out
}

func byUse(all []api.DatasetUse) map[string]string {
	out := map[string]string{}
	for _, u := range all {
		name := strings.TrimSpace(u.Context + " " + u.Name)
		out[name] = strings.TrimSpace(out[name] + " " + u.Digest)
	}
	return out
}
