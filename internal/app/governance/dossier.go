package governance

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlmodel"
	"github.com/slipway-ml/slipway/internal/registry"
	"github.com/slipway-ml/slipway/internal/registry/dossier"
	"github.com/slipway-ml/slipway/internal/tensor"
)

// Show gives all that is known of a version.
func (s *Service) Show(ctx context.Context, p slipway.Principal, model, ref string) (api.VersionDossier, error) {
	v, err := s.version(ctx, p, authz.ModelRead, model, ref)
	if err != nil {
		return api.VersionDossier{}, err
	}
	return s.show(ctx, p, v)
}

func (s *Service) show(ctx context.Context, p slipway.Principal, v registry.Version) (api.VersionDossier, error) {
	d, err := s.Models.Detail(ctx, v.Model, v.Number)
	if err != nil {
		return api.VersionDossier{}, err
	}
	m, err := s.Models.Model(ctx, v.Model)
	if err != nil {
		return api.VersionDossier{}, err
	}
	out := api.VersionDossier{Model: v.Model, Team: m.Team, Version: v.Number, Digest: string(v.Digest), Source: v.Source, Created: v.Created, By: v.By,
		Stage: d.Stage, Description: d.Description, Tags: d.Tags, Aliases: append([]string{}, d.Aliases...), Files: []api.File{}}
	for _, f := range v.Files {
		out.Files = append(out.Files, api.File{Path: f.Path, Digest: string(f.Digest), Size: f.Size, Executable: f.Executable})
		out.Bytes += f.Size
	}
	if about, schema, err := s.read(ctx, v); err == nil {
		out.Flavors, out.Inputs, out.Outputs = about.Flavors, fields(schema.Inputs), fields(schema.Outputs)
	}
	if out.Signature, err = s.signatures(ctx, v); err != nil {
		return out, err
	}
	for i := range out.Signature.List {
		out.Signature.List[i].Bundle = "" // they are long, and asked for by themselves
	}
	if out.Run, err = s.lineage(ctx, p, d); err != nil {
		return out, err
	}
	if out.Where, out.More, err = s.where(ctx, p, v.Model, v.Number); err != nil {
		return out, err
	}
	cards, err := s.Dossier.CardsOf(ctx, v.Model, v.Number, 1)
	for _, c := range cards {
		view := cardView(c)
		out.Card = &view
	}
	return out, err
}

// read reads what the files of a version say of it. The error is that of files that are no
// model, or lie elsewhere.
func (s *Service) read(ctx context.Context, v registry.Version) (*mlmodel.Model, tensor.Schema, error) {
	if v.File(mlmodel.FileName) == nil {
		return nil, tensor.Schema{}, slipway.Errorf(slipway.Invalid, slipway.CodeModelDir, "register a directory in MLflow's format", "%s has no file %s here", named(v.Model, v.Number), mlmodel.FileName)
	}
	m, err := mlmodel.Read(s.Files(ctx, v))
	if err != nil {
		return nil, tensor.Schema{}, err
	}
	if schema, err := m.Schema(nil); err == nil {
		return m, schema, nil
	}
	return m, tensor.Schema{}, nil // saved without a signature: the rest is as good
}

func fields(all []tensor.Field) []api.SchemaField {
	out := make([]api.SchemaField, len(all))
	for i, f := range all {
		out[i] = api.SchemaField{Name: f.Name, Type: typeOf(f), Required: f.Required}
	}
	return out
}

func typeOf(f tensor.Field) string {
	if len(f.Shape) == 0 {
		return f.Type.String()
	}
	return f.Type.String() + strings.ReplaceAll(fmt.Sprint(f.Shape), " ", ",")
}

// maxCard bounds a card, in bytes, and maxCards how many texts of it are listed.
const (
	maxCard  = 256 << 10
	maxCards = 100
)

func cardView(c dossier.Card) api.ModelCard {
	return api.ModelCard{Model: c.Model, Version: c.Number, Number: c.Seq, Text: c.Text, Created: c.Created, By: c.By, Reason: c.Reason}
}

// Card gives the card of a version: what was written last, else what is made of all that is
// known.
func (s *Service) Card(ctx context.Context, p slipway.Principal, model, ref string) (api.ModelCard, error) {
	v, err := s.version(ctx, p, authz.ModelRead, model, ref)
	if err != nil {
		return api.ModelCard{}, err
	}
	cards, err := s.Dossier.CardsOf(ctx, v.Model, v.Number, 1)
	if err != nil {
		return api.ModelCard{}, err
	}
	if len(cards) > 0 {
		return cardView(cards[0]), nil
	}
	d, err := s.show(ctx, p, v)
	if err != nil {
		return api.ModelCard{}, err
	}
	return api.ModelCard{Model: v.Model, Version: v.Number, Text: Markdown(d)}, nil
}

// Cards lists the texts that a card has had, newest first.
func (s *Service) Cards(ctx context.Context, p slipway.Principal, model, ref string) ([]api.ModelCard, error) {
	v, err := s.version(ctx, p, authz.ModelRead, model, ref)
	if err != nil {
		return nil, err
	}
	all, err := s.Dossier.CardsOf(ctx, v.Model, v.Number, maxCards)
	out := []api.ModelCard{}
	for _, c := range all {
		out = append(out, cardView(c))
	}
	return out, err
}

// WriteCard gives a version's card a new text; those before stay.
func (s *Service) WriteCard(ctx context.Context, p slipway.Principal, model, ref string, w api.WriteCard) (api.ModelCard, error) {
	v, err := s.version(ctx, p, authz.ModelUpdate, model, ref)
	if err != nil {
		return api.ModelCard{}, err
	}
	if strings.TrimSpace(w.Text) == "" || len(w.Text) > maxCard {
		e := slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "write something of at most 256 KiB", "is empty, or longer than %d bytes", maxCard)
		e.Field = "text"
		return api.ModelCard{}, e
	}
	c := dossier.Card{Model: v.Model, Number: v.Number, Text: w.Text, Created: s.Now().UTC().Truncate(time.Microsecond), By: p.ID, Reason: oneLine(w.Reason, 500)}
	c, err = s.Dossier.Describe(ctx, c, s.event(p, "card.written", v.Model, "number", strconv.Itoa(v.Number), "digest", string(slipway.DigestOf([]byte(w.Text)))))
	return cardView(c), err
}

// Markdown makes a card of what is known of a version.
func Markdown(d api.VersionDossier) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# %s, version %d\n", d.Model, d.Version)
	if d.Description != "" {
		line("%s\n", d.Description)
	}
	line("| | |\n|---|---|")
	row := func(name, value string) {
		if value != "" {
			line("| %s | %s |", name, strings.ReplaceAll(oneLine(value, 300), "|", `\|`))
		}
	}
	row("Team", d.Team)
	row("Registered", d.Created.Format(time.RFC3339)+" by "+d.By)
	row("Digest", d.Digest)
	row("Flavors", strings.Join(d.Flavors, ", "))
	row("Files", fmt.Sprintf("%d, %d bytes", len(d.Files), d.Bytes))
	row("Signature", d.Signature.State)
	row("Aliases", strings.Join(d.Aliases, ", "))
	schema := func(title string, all []api.SchemaField) {
		if len(all) == 0 {
			return
		}
		line("\n## %s\n\n| name | type | required |\n|---|---|---|", title)
		for _, f := range all {
			line("| %s | %s | %t |", strings.ReplaceAll(oneLine(f.Name, 100), "|", `\|`), f.Type, f.Required)
		}
	}
	schema("Inputs", d.Inputs)
	schema("Outputs", d.Outputs)
	if r := d.Run; r != nil {
		line("\n## Training\n\n| | |\n|---|---|")
		row("Run", r.ID)
		row("Experiment", r.Experiment)
		row("Commit", r.Commit)
		for _, u := range r.Datasets {
			row("Data", strings.TrimSpace(u.Context+" "+u.Name+" "+u.Digest))
		}
		for _, k := range slices.Sorted(maps.Keys(r.Metrics)) {
			row(k, fmt.Sprint(r.Metrics[k]))
		}
		for _, k := range slices.Sorted(maps.Keys(r.Params)) {
			row(k, r.Params[k])
		}
	}
	line("\n## Use\n\nWrite here what the model is for, what it is not for, and what its data leave out:\n`platform models card %s %d --set CARD.md`.", d.Model, d.Version)
	return b.String()
}
