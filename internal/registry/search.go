package registry

import (
	"context"
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/query"
)

// PromptTag is the tag by which MLflow's clients tell a prompt from a model.
const PromptTag = "mlflow.prompt.is_prompt"

// Query is a search of models or versions, as a store gets it. Clauses are those of
// query.RegisteredModels or query.ModelVersions. Order ends with what makes every entry
// distinct. After has the values of Order of the entry after which the page begins, a string
// or an int64 each, times in microseconds; nil: it is the first page.
type Query struct {
	Where   []query.Clause
	Order   []query.Order
	After   []any
	Teams   []string // that own the models; nil: all
	Prompts bool     // prompts are found as well
	Limit   int
}

// Search is a search as clients ask for it.
type Search struct {
	Filter  string
	OrderBy []string
	Token   string
	Limit   int
	Teams   []string // that may be seen; nil: all
}

// Keys of attributes, as the grammars spell them.
const (
	KeyName    = "name"
	KeyNumber  = "version_number"
	KeyCreated = "creation_timestamp"
	KeyUpdated = "last_updated_timestamp"
	KeyRun     = "run_id"
	KeySource  = "source_path"
)

// Bounds of a page.
const (
	maxModels   = 1000
	maxVersions = 200_000
	// pageVersions is how many versions a page has at most, whatever was asked for: clients
	// go on with its token.
	pageVersions = 10_000
)

func by(key string, desc bool) query.Order {
	return query.Order{Entity: query.Attribute, Key: key, Desc: desc}
}

// SearchPage finds a page of models, and the token of the next one, empty at the end.
func (s *Service) SearchPage(ctx context.Context, in Search) ([]Entry, string, error) {
	if in.Limit > maxModels {
		return nil, "", tooMany(maxModels, in.Limit)
	}
	q, mark, err := in.query("models", query.RegisteredModels, nil, by(KeyName, false))
	if err != nil {
		return nil, "", err
	}
	found, err := s.SearchModels(ctx, q)
	if err != nil {
		return nil, "", err
	}
	page, token := paged(found, q, mark, func(m Entry, key string) any {
		switch key {
		case KeyName:
			return m.Name
		case KeyCreated:
			return m.Created.UnixMicro()
		}
		return m.Updated.UnixMicro()
	})
	return page, token, nil
}

// VersionPage finds a page of versions, and the token of the next one, empty at the end.
func (s *Service) VersionPage(ctx context.Context, in Search) ([]Version, string, error) {
	if in.Limit > maxVersions {
		return nil, "", tooMany(maxVersions, in.Limit)
	}
	in.Limit = min(in.Limit, pageVersions)
	newest := []query.Order{by(KeyUpdated, true), by(KeyName, false), by(KeyNumber, true)}
	q, mark, err := in.query("versions", query.ModelVersions, newest, by(KeyName, false), by(KeyNumber, true))
	if err != nil {
		return nil, "", err
	}
	found, err := s.SearchVersions(ctx, q)
	if err != nil {
		return nil, "", err
	}
	page, token := paged(found, q, mark, func(v Version, key string) any {
		switch key {
		case KeyName:
			return v.Model
		case KeyNumber:
			return int64(v.Number)
		case KeyCreated:
			return v.Created.UnixMicro()
		}
		return v.Updated.UnixMicro()
	})
	return page, token, nil
}

func tooMany(most, got int) error {
	return invalidText(slipway.CodeInvalid, "ask for fewer", "Invalid value for request parameter max_results. It must be at most %d, but got value %d", most, got)
}

// paged leaves out the one that was found beyond the page, which says that there is more, and
// gives the token of what comes after: the values by which the last of the page is ordered.
func paged[T any](found []T, q Query, mark []byte, value func(one T, key string) any) (page []T, token string) {
	if len(found) < q.Limit {
		return found, ""
	}
	page = found[:len(found)-1]
	last := make([]any, len(q.Order))
	for i, o := range q.Order {
		last[i] = value(page[len(page)-1], o.Key)
	}
	return page, query.Token(mark, last)
}

// query reads a search. It asks for one entry more than the page has, and gives the
// fingerprint of tokens.
func (in *Search) query(what string, g *query.Grammar, fallback []query.Order, ties ...query.Order) (q Query, mark []byte, err error) {
	if in.Limit < 1 {
		return q, nil, invalidText(slipway.CodeInvalid, "ask for one at least", "Invalid value for max_results. It must be a positive integer, but got %d", in.Limit)
	}
	where, err := g.Filter(in.Filter)
	if err != nil {
		return q, nil, err
	}
	if q.Order, err = g.OrderBy(in.OrderBy); err != nil {
		return q, nil, err
	}
	if len(q.Order) == 0 {
		q.Order = fallback
	}
	for _, t := range ties {
		if !slices.ContainsFunc(q.Order, func(o query.Order) bool { return o.Key == t.Key }) {
			q.Order = append(slices.Clip(q.Order), t)
		}
	}
	q.Where, q.Prompts = prompts(where)
	q.Teams, q.Limit = in.Teams, in.Limit+1
	kinds := make([]query.Term, len(q.Order))
	for i, o := range q.Order {
		kinds[i].Kind = query.Int
		if o.Key == KeyName {
			kinds[i].Kind = query.Text
		}
	}
	mark = query.Fingerprint([]any{what, in.Filter, in.OrderBy})
	q.After, err = query.Last(in.Token, mark, kinds)
	return q, mark, err
}

// prompts says whether a filter looks for prompts. One that does not finds none, and what it
// says of the tag is left out: models do not have it.
func prompts(where []query.Clause) (rest []query.Clause, wanted bool) {
	is := func(c query.Clause) bool { return c.Entity == query.Tag && c.Key == PromptTag }
	at := slices.IndexFunc(where, is)
	if at < 0 {
		return where, false
	}
	c := where[at]
	value, _ := c.Value.(string)
	if c.Op == query.Equal && strings.EqualFold(value, "true") || c.Op == query.NotEqual && strings.EqualFold(value, "false") {
		return where, true
	}
	return slices.DeleteFunc(slices.Clone(where), is), false
}
