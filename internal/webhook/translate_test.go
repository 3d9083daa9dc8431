package webhook_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/webhook"
)

// facts knows a model, a prompt, an endpoint and a deployment.
type facts struct{ broken bool }

func none() error { return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "", "none") }

func (f facts) Model(_ context.Context, name string) (webhook.Model, error) {
	switch {
	case f.broken:
		return webhook.Model{}, errors.New("the database hangs")
	case name == "fraud":
		return webhook.Model{Team: "risk", Description: "finds it", Tags: map[string]string{"tier": "1"}}, nil
	case name == "greeting":
		return webhook.Model{Team: "risk", Tags: map[string]string{"mlflow.prompt.is_prompt": "true", "lang": "en"}}, nil
	}
	return webhook.Model{}, none()
}

func (facts) Version(_ context.Context, model, number string) (webhook.Version, error) {
	switch model + "/" + number {
	case "fraud/2":
		return webhook.Version{Source: "runs:/1/model", Run: "1", Tags: map[string]string{"k": "v"}}, nil
	case "greeting/1":
		return webhook.Version{Source: "prompt", Description: "hi", Tags: map[string]string{"mlflow.prompt.text": "Hello {{name}}!", "k": "v", "mlflow.prompt.is_prompt": "true"}}, nil
	}
	return webhook.Version{}, none()
}

func (facts) Alias(_ context.Context, model, alias string, at time.Time) (string, error) {
	if model == "fraud" && alias == "champion" && at.Equal(start) {
		return "1", nil
	}
	return "", nil
}

func (facts) Endpoint(_ context.Context, key string) (webhook.Resource, error) {
	if key == "fraud.staging" {
		return webhook.Resource{Kind: webhook.OfEndpoint, Name: key, Team: "risk", Tier: 1, Classification: "confidential"}, nil
	}
	return webhook.Resource{}, none()
}

func (facts) Deployment(_ context.Context, id string) (webhook.Deployment, error) {
	if id == "dep_1" {
		return webhook.Deployment{Endpoint: "fraud.staging", Model: "fraud", Version: "2"}, nil
	}
	return webhook.Deployment{}, none()
}

func TestTranslate(t *testing.T) {
	type data = map[string]any
	deployment := func(more data) data {
		out := data{"deployment": "dep_1", "endpoint": "fraud", "environment": "staging", "model": "fraud", "version": "2", "by": "ada"}
		for k, v := range more {
			out[k] = v
		}
		return out
	}
	for name, c := range map[string]struct {
		action, subject string
		detail          map[string]string
		want            map[webhook.Event]data
	}{
		"nothing":              {"signin.failed", "ada", nil, nil},
		"a model":              {"model.created", "fraud", nil, map[webhook.Event]data{webhook.ModelCreated: {"name": "fraud", "tags": map[string]string{"tier": "1"}, "description": "finds it"}}},
		"a prompt":             {"model.created", "greeting", nil, map[webhook.Event]data{webhook.PromptCreated: {"name": "greeting", "tags": map[string]string{"lang": "en"}, "description": nil}}},
		"a version":            {"version.registered", "fraud", map[string]string{"number": "2"}, map[webhook.Event]data{webhook.VersionCreated: {"name": "fraud", "version": "2", "source": "runs:/1/model", "run_id": "1", "tags": map[string]string{"k": "v"}, "description": nil}}},
		"of a prompt":          {"version.registered", "greeting", map[string]string{"number": "1"}, map[webhook.Event]data{webhook.PromptVersion: {"name": "greeting", "version": "1", "template": "Hello {{name}}!", "tags": map[string]string{"k": "v"}, "description": "hi"}}},
		"a tag":                {"version.tag_set", "fraud", map[string]string{"number": "2", "key": "k"}, map[webhook.Event]data{webhook.VersionTagSet: {"name": "fraud", "version": "2", "key": "k", "value": "v"}}},
		"a tag no more":        {"version.tag_set", "fraud", map[string]string{"number": "2", "key": "gone"}, map[webhook.Event]data{webhook.VersionTagSet: {"name": "fraud", "version": "2", "key": "gone", "value": nil}}},
		"of a version no more": {"version.tag_set", "fraud", map[string]string{"number": "9", "key": "k"}, map[webhook.Event]data{webhook.VersionTagSet: {"name": "fraud", "version": "9", "key": "k", "value": nil}}},
		"an alias": {"alias.moved", "fraud@champion", map[string]string{"to": "2", "reason": "better"}, map[webhook.Event]data{
			webhook.AliasCreated: {"name": "fraud", "alias": "champion", "version": "2"}, webhook.AliasMoved: {"name": "fraud", "alias": "champion", "from": "1", "to": "2", "by": "ada", "reason": "better"}}},
		"an alias removed": {"alias.deleted", "fraud@champion", nil, map[webhook.Event]data{
			webhook.AliasDeleted: {"name": "fraud", "alias": "champion"}, webhook.AliasRemoved: {"name": "fraud", "alias": "champion", "from": "1", "by": "ada", "reason": nil}}},
		"a request": {"alias.requested", "fraud@champion", map[string]string{"to": "2", "reason": "so"}, map[webhook.Event]data{webhook.AliasRequested: {"name": "fraud", "alias": "champion", "to": "2", "by": "ada", "reason": "so"}}},
		"a stage":   {"version.staged", "fraud", map[string]string{"number": "2", "from": "None", "to": "Staging"}, map[webhook.Event]data{webhook.StageChanged: {"name": "fraud", "version": "2", "from": "None", "to": "Staging", "by": "ada"}}},
		"a name":    {"model.renamed", "fraud", map[string]string{"from": "froud"}, map[webhook.Event]data{webhook.ModelRenamed: {"name": "froud", "new_name": "fraud", "by": "ada"}}},
		"a new alias": {"alias.moved", "fraud@shadow", map[string]string{"to": "2"}, map[webhook.Event]data{
			webhook.AliasCreated: {"name": "fraud", "alias": "shadow", "version": "2"}, webhook.AliasMoved: {"name": "fraud", "alias": "shadow", "from": nil, "to": "2", "by": "ada", "reason": nil}}},
		"of a prompt's": {"alias.moved", "greeting@live", map[string]string{"to": "1"}, map[webhook.Event]data{webhook.PromptAliasSet: {"name": "greeting", "alias": "live", "version": "1"}}},
		"a deletion":    {"model.deleted", "gone", map[string]string{"team": "risk"}, map[webhook.Event]data{webhook.ModelDeleted: {"name": "gone", "by": "ada"}}},
		"a deployment":  {"deployment.created", "dep_1", map[string]string{"endpoint": "fraud.staging", "kind": "deploy", "reason": "so"}, map[webhook.Event]data{webhook.DeploymentStarted: deployment(data{"kind": "deploy", "reason": "so"})}},
		"a step":        {"rollout.stepping", "dep_1", map[string]string{"weight": "5", "message": ""}, map[webhook.Event]data{webhook.RolloutStepped: deployment(data{"weight": 5.0})}},
		"a failure":     {"rollout.failed", "dep_1", map[string]string{"message": "replicas crash"}, map[webhook.Event]data{webhook.DeploymentFailed: deployment(data{"reason": "replicas crash"})}},
		"an end":        {"rollout.rolled-back", "dep_1", nil, map[webhook.Event]data{webhook.DeploymentRolledBack: deployment(nil)}},
		"of no one":     {"rollout.done", "dep_9", nil, nil},
	} {
		ev := slipway.Event{ID: "evt_1", Time: start, Actor: "ada", Action: c.action, Subject: c.subject, Detail: c.detail}
		notices, err := webhook.Translate(t.Context(), &ev, facts{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got map[webhook.Event]data
		for _, n := range notices {
			if got == nil {
				got = map[webhook.Event]data{}
			}
			got[n.Event] = n.Data
			if n.About.Team != "risk" || n.About.Name == "" {
				t.Errorf("%s is about %+v", name, n.About)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	ev := slipway.Event{Action: "model.created", Subject: "fraud"}
	if _, err := webhook.Translate(t.Context(), &ev, facts{broken: true}); err == nil {
		t.Error("facts that could not be read were passed over")
	}
}
