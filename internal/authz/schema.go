package authz

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"

	"github.com/slipway-ml/slipway"
)

// describes is what policies may ask of a principal, a resource and the context: world.go
// gives it. The language is Cedar's (https://docs.cedarpolicy.com/schema).
const describes = `
entity Role;
entity Principal in [Role] {
	name: String, kind: String, clearance: Long, elevated: Bool, emergency: Bool, mfa_age?: Long,
	leads: Set<String>, engineers: Set<String>, calls: Set<String>, member: Set<String>,
};
`

const (
	ofResource = "name: String, classification: Long, team?: String, tier?: Long, environment?: String"
	ofAccount  = ", owner: Bool, clearance: Long, kind?: String"
	ofContext  = "role: String, team: String, time: datetime, connected: Bool"
)

// schemaText is the schema of every action that there is.
func schemaText() string {
	var b strings.Builder
	b.WriteString(describes)
	for _, kind := range []string{KindServer, KindEndpoint, KindModel, KindAccount, KindDataset, KindTeam, KindSecret, KindExperiment, KindWebhook} {
		more := ""
		if kind == KindAccount {
			more = ofAccount
		}
		fmt.Fprintf(&b, "entity %s { %s%s };\n", kind, ofResource, more)
	}
	groups := map[string]bool{}
	for _, action := range slices.Sorted(maps.Keys(Actions)) {
		m := Actions[action]
		if !groups[m.Group] {
			groups[m.Group] = true
			fmt.Fprintf(&b, "action %q;\n", m.Group)
		}
		fmt.Fprintf(&b, "action %q in [%q] appliesTo { principal: [Principal], resource: [%s], context: { %s } };\n", action, m.Group, m.Kind, ofContext)
	}
	return b.String()
}

// validator checks policies against the schema, which is a constant of this program.
var validator = sync.OnceValues(func() (*validate.Validator, error) {
	var s schema.Schema
	if err := s.UnmarshalCedar([]byte(schemaText())); err != nil {
		return nil, err
	}
	resolved, err := s.Resolve()
	if err != nil {
		return nil, err
	}
	return validate.New(resolved), nil
})

// wellTyped answers Invalid, with line and column, for a policy that asks for what there is
// not, or compares what cannot be compared. Cedar would skip such a policy when it decides,
// so that a forbid would forbid nothing.
func wellTyped(text []byte, p *cedar.Policy) error {
	v, err := validator()
	if err != nil {
		return err
	}
	policy := (*ast.Policy)(p.AST())
	if err = v.Policy(string(p.Annotations()["id"]), policy); err == nil {
		return nil
	}
	line, column := p.Position().Line, p.Position().Column
	what := slipway.OneLine(err.Error(), 300)
	_, after, found := strings.Cut(what, "`, ") // "for policy `x`, attribute `y` …"
	if found {
		what = after
	}
	if words := strings.Split(what, "`"); len(words) > 2 {
		if at := strings.Index(string(text[p.Position().Offset:]), words[1]); at >= 0 {
			line, column = place(text, p.Position().Offset+at)
		}
	}
	return refused(line, column, "correct it", "the policy %q does not fit what can be asked: %s", p.Annotations()["id"], what)
}

// asks says which attributes of the context a policy asks for.
func asks(p *cedar.Policy) map[string]bool {
	out := map[string]bool{}
	for _, c := range (*ast.Policy)(p.AST()).Conditions {
		ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
			if access, ok := n.(ast.NodeTypeAccess); ok {
				out[string(access.Value)] = true
			}
			return true
		})
	}
	return out
}
