package webhook

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
)

// Kinds of what notices are about.
const (
	OfModel    = "model"
	OfEndpoint = "endpoint"
)

// Resource is what a notice is about, as far as who may see it depends on that.
type Resource struct {
	Kind           string
	Name           string
	Team           string
	Tier           int
	Classification string
}

// Notice is one thing that a recorded event means to receivers.
type Notice struct {
	Event Event
	About Resource
	Data  map[string]any
}

// Facts are what the record of events leaves out: names of teams, and the texts that users
// have typed. They are those of the moment of asking, which may be later than the event. They
// answer NotFound for what is gone.
type Facts interface {
	Model(ctx context.Context, name string) (Model, error)
	Version(ctx context.Context, model, number string) (Version, error)
	// Alias is the version that an alias pointed at before it was moved, or removed, at a time;
	// empty: at none.
	Alias(ctx context.Context, model, alias string, at time.Time) (from string, err error)
	Endpoint(ctx context.Context, key string) (Resource, error)
	Deployment(ctx context.Context, id string) (Deployment, error)
}

// Model is a registered model.
type Model struct {
	Team        string
	Description string
	Tags        map[string]string
}

// promptTag marks a registered model that is a prompt, textTag holds the text of its versions
// (mlflow/prompt/constants.py), and typeTag says what kind of text it is.
const (
	promptTag = "mlflow.prompt.is_prompt"
	textTag   = "mlflow.prompt.text"
	typeTag   = "_mlflow_prompt_type"
)

func (m *Model) prompt() bool { return strings.EqualFold(m.Tags[promptTag], "true") }

// Version is one of a model.
type Version struct {
	Source      string
	Run         string
	Description string
	Tags        map[string]string
}

// Deployment is an attempt to bring a version to an endpoint.
type Deployment struct {
	Endpoint, Model, Version string
}

// Means gives what a recorded action may mean to receivers: mostly nothing.
func Means(action string) (out []Event) {
	for _, p := range ofModels[action] {
		out = append(out, p.event, p.prompt)
	}
	if event, ok := ofDeployments[action]; ok {
		out = append(out, event)
	}
	return out
}

// Translate says what a recorded event means to receivers.
func Translate(ctx context.Context, ev *slipway.Event, facts Facts) ([]Notice, error) {
	if read, ok := ofModels[ev.Action]; ok {
		return aboutModel(ctx, ev, facts, read)
	}
	if event, ok := ofDeployments[ev.Action]; ok {
		return aboutDeployment(ctx, ev, facts, event)
	}
	return nil, nil
}

// part is what of an event of the registry one notice is made of.
type part struct {
	event, prompt Event    // what it is of a model, and of a prompt; empty: nothing
	keys          []string // of the data, beside the model's name
}

// ofModels are the events of the registry. Their subjects are a model, or model@alias.
var ofModels = map[string][]part{
	"model.created":       {{ModelCreated, PromptCreated, []string{"tags", "description"}}},
	"model.described":     {{ModelUpdated, "", []string{"by"}}},
	"model.renamed":       {{ModelRenamed, "", []string{"new_name", "by"}}},
	"model.deleted":       {{ModelDeleted, "", []string{"by"}}},
	"model.tag_set":       {{ModelUpdated, "", []string{"by"}}, {"", PromptTagSet, []string{"key", "value"}}},
	"model.tag_deleted":   {{ModelUpdated, "", []string{"by"}}, {"", PromptTagGone, []string{"key"}}},
	"version.registered":  {{VersionCreated, "", []string{"version", "source", "run_id", "tags", "description"}}, {"", PromptVersion, []string{"version", "template", "tags", "description"}}},
	"version.described":   {{VersionUpdated, "", []string{"version", "by"}}},
	"version.deleted":     {{VersionDeleted, "", []string{"version", "by"}}},
	"version.staged":      {{StageChanged, "", []string{"version", "from", "to", "by"}}},
	"version.tag_set":     {{VersionTagSet, PromptVersionSet, []string{"version", "key", "value"}}},
	"version.tag_deleted": {{VersionTagGone, PromptVersionDel, []string{"version", "key"}}},
	"alias.moved":         {{AliasCreated, PromptAliasSet, []string{"alias", "version"}}, {AliasMoved, "", []string{"alias", "from", "to", "by", "reason"}}},
	"alias.deleted":       {{AliasDeleted, PromptAliasGone, []string{"alias"}}, {AliasRemoved, "", []string{"alias", "from", "by", "reason"}}},
	"alias.requested":     {{AliasRequested, "", []string{"alias", "to", "by", "reason"}}},
	"alias.approved":      {{AliasApproved, "", []string{"alias", "to", "by", "reason"}}},
	"alias.rejected":      {{AliasRejected, "", []string{"alias", "to", "by", "reason"}}},
}

// about is what an event of the registry and the registry itself say together.
type about struct {
	ev                   *slipway.Event
	name, version, alias string
	from                 string // that an alias pointed at before
	model                Model
	is                   Version
}

func aboutModel(ctx context.Context, ev *slipway.Event, facts Facts, parts []part) ([]Notice, error) {
	a := about{ev: ev, name: ev.Subject, version: ev.Detail["number"], from: ev.Detail["from"]}
	if at := strings.LastIndexByte(ev.Subject, '@'); at >= 0 && strings.HasPrefix(ev.Action, "alias.") {
		a.name, a.alias, a.version = ev.Subject[:at], ev.Subject[at+1:], ev.Detail["to"]
	}
	var err error
	if a.alias != "" && a.from == "" {
		if a.from, err = facts.Alias(ctx, a.name, a.alias, ev.Time); err != nil {
			return nil, err
		}
	}
	if a.model, err = facts.Model(ctx, a.name); missing(err) {
		a.model.Team, err = ev.Detail["team"], nil
	}
	if err == nil && a.version != "" {
		if a.is, err = facts.Version(ctx, a.name, a.version); missing(err) {
			err = nil
		}
	}
	if err != nil {
		return nil, err
	}
	prompt := a.model.prompt() || ev.Detail["prompt"] == "true"
	var out []Notice
	for _, p := range parts {
		event := p.event
		if prompt {
			event = p.prompt
		}
		if event == "" {
			continue
		}
		data := map[string]any{"name": a.name}
		if event == ModelRenamed {
			data["name"] = a.from
		}
		for _, key := range p.keys {
			data[key] = a.value(key, event)
		}
		out = append(out, Notice{Event: event, About: Resource{Kind: OfModel, Name: a.name, Team: a.model.Team}, Data: data})
	}
	return out, nil
}

func missing(err error) bool { return errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) }

// value is what stands under a key of a notice's data. MLflow gives null for no text.
func (a *about) value(key string, event Event) any {
	ofVersion := a.version != "" && event.Entity() != "registered_model" && event.Entity() != "prompt"
	text := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	switch key {
	case "version":
		return a.version
	case "alias":
		return a.alias
	case "by":
		return a.ev.Actor
	case "source":
		return a.is.Source
	case "run_id":
		return text(a.is.Run)
	case "template":
		return text(a.is.Tags[textTag])
	case "description":
		if ofVersion {
			return text(a.is.Description)
		}
		return text(a.model.Description)
	case "tags":
		if ofVersion {
			return plainTags(a.is.Tags, event == PromptVersion)
		}
		return plainTags(a.model.Tags, event == PromptCreated)
	case "value":
		tags := a.model.Tags
		if ofVersion {
			tags = a.is.Tags
		}
		if v, there := tags[a.ev.Detail["key"]]; there {
			return v
		}
		return nil
	case "from":
		return text(a.from)
	case "new_name":
		return a.name
	default: // what the record has under this name
		return text(a.ev.Detail[key])
	}
}

// plainTags leaves out what makes a prompt of a model.
func plainTags(all map[string]string, prompt bool) map[string]string {
	out := map[string]string{}
	for k, v := range all {
		if !prompt || k != promptTag && k != textTag && k != typeTag {
			out[k] = v
		}
	}
	return out
}

// ofDeployments are the events of deployments and rollouts. Their subjects are deployments.
var ofDeployments = map[string]Event{
	"deployment.created":     DeploymentStarted,
	"deployment.failed":      DeploymentFailed,
	"deployment.aborted":     DeploymentAborted,
	"deployment.rolled-back": DeploymentRolledBack,
	"deployment.released":    RolloutStarted,
	"rollout.stepping":       RolloutStepped,
	"rollout.paused":         RolloutPaused,
	"rollout.done":           DeploymentSucceeded,
	"rollout.failed":         DeploymentFailed,
	"rollout.aborted":        DeploymentAborted,
	"rollout.rolled-back":    DeploymentRolledBack,
}

func aboutDeployment(ctx context.Context, ev *slipway.Event, facts Facts, event Event) ([]Notice, error) {
	d, err := facts.Deployment(ctx, ev.Subject)
	if err == nil && d.Endpoint == "" {
		d.Endpoint = ev.Detail["endpoint"]
	}
	var at Resource
	if err == nil {
		at, err = facts.Endpoint(ctx, d.Endpoint)
	}
	if missing(err) {
		return nil, nil // deployments and endpoints are never removed
	}
	if err != nil {
		return nil, err
	}
	name, env, err := slipway.ParseEndpoint(d.Endpoint)
	if err != nil {
		return nil, err
	}
	data := map[string]any{"deployment": ev.Subject, "endpoint": name, "environment": env, "model": d.Model, "version": d.Version, "by": ev.Actor}
	for _, key := range []string{"kind", "revision", "code"} {
		if v := ev.Detail[key]; v != "" {
			data[key] = v
		}
	}
	if why := ev.Detail["message"] + ev.Detail["reason"]; why != "" { // an event has one of them
		data["reason"] = why
	}
	if event == RolloutStepped {
		if percent, err := strconv.ParseFloat(ev.Detail["weight"], 64); err == nil {
			data["weight"] = percent
		}
	}
	return []Notice{{Event: event, About: at, Data: data}}, nil
}
