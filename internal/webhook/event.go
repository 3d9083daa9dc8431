package webhook

import (
	"slices"
	"strings"

	"github.com/slipway-ml/slipway"
)

// Event is what a hook may be told of: an entity and an action, "model_version.created".
type Event string

// Entity is what the event is about.
func (e Event) Entity() string {
	entity, _, _ := strings.Cut(string(e), ".")
	return entity
}

// Action is what happened to it.
func (e Event) Action() string {
	_, action, _ := strings.Cut(string(e), ".")
	return action
}

// The events that MLflow knows (mlflow/entities/webhook.py), but for those of its AI gateway's
// budgets, which there are none of here.
const (
	ModelCreated     Event = "registered_model.created"
	VersionCreated   Event = "model_version.created"
	VersionTagSet    Event = "model_version_tag.set"
	VersionTagGone   Event = "model_version_tag.deleted"
	AliasCreated     Event = "model_version_alias.created"
	AliasDeleted     Event = "model_version_alias.deleted"
	PromptCreated    Event = "prompt.created"
	PromptVersion    Event = "prompt_version.created"
	PromptTagSet     Event = "prompt_tag.set"
	PromptTagGone    Event = "prompt_tag.deleted"
	PromptVersionSet Event = "prompt_version_tag.set"
	PromptVersionDel Event = "prompt_version_tag.deleted"
	PromptAliasSet   Event = "prompt_alias.created"
	PromptAliasGone  Event = "prompt_alias.deleted"
)

// The platform's own, which MLflow's clients do not know.
const (
	ModelUpdated   Event = "registered_model.updated"
	ModelRenamed   Event = "registered_model.renamed"
	ModelDeleted   Event = "registered_model.deleted"
	VersionUpdated Event = "model_version.updated"
	VersionDeleted Event = "model_version.deleted"
	StageChanged   Event = "model_version.stage_changed"
	AliasMoved     Event = "alias.moved"
	AliasRemoved   Event = "alias.deleted"
	AliasRequested Event = "alias.requested" // of one that is protected
	AliasApproved  Event = "alias.approved"
	AliasRejected  Event = "alias.rejected"

	DeploymentStarted    Event = "deployment.started"
	DeploymentSucceeded  Event = "deployment.succeeded"
	DeploymentFailed     Event = "deployment.failed"
	DeploymentAborted    Event = "deployment.aborted"
	DeploymentRolledBack Event = "deployment.rolled_back"
	RolloutStarted       Event = "rollout.started"
	RolloutStepped       Event = "rollout.stepped"
	RolloutPaused        Event = "rollout.paused"
)

// MLflowEvents are those that MLflow's clients know.
var MLflowEvents = []Event{ModelCreated, VersionCreated, VersionTagSet, VersionTagGone, AliasCreated, AliasDeleted,
	PromptCreated, PromptVersion, PromptTagSet, PromptTagGone, PromptVersionSet, PromptVersionDel, PromptAliasSet, PromptAliasGone}

// PlatformEvents are the platform's own.
var PlatformEvents = []Event{ModelUpdated, ModelRenamed, ModelDeleted, VersionUpdated, VersionDeleted, StageChanged, AliasMoved, AliasRemoved, AliasRequested, AliasApproved, AliasRejected,
	DeploymentStarted, DeploymentSucceeded, DeploymentFailed, DeploymentAborted, DeploymentRolledBack, RolloutStarted, RolloutStepped, RolloutPaused}

// OfMLflow says whether MLflow's clients know an event. They refuse a whole list for one that
// they do not know.
func (e Event) OfMLflow() bool { return slices.Contains(MLflowEvents, e) }

// ParseEvent answers Invalid for what is no event.
func ParseEvent(text string) (Event, error) {
	e := Event(text)
	if e.OfMLflow() || slices.Contains(PlatformEvents, e) {
		return e, nil
	}
	return "", invalid("platform webhooks create --help lists them", "%s is no event of webhooks", quote(text))
}

// MLflowPart is what of a list of events MLflow's clients know, in their order.
func MLflowPart(all []Event) []Event {
	return slices.DeleteFunc(slices.Clone(all), func(e Event) bool { return !e.OfMLflow() })
}

// OwnPart is the rest.
func OwnPart(all []Event) []Event {
	return slices.DeleteFunc(slices.Clone(all), Event.OfMLflow)
}

// Example is what a test of an event sends as its data. MLflow's are those of MLflow, which
// receivers may compare (mlflow/webhooks/types.py).
func (e Event) Example() map[string]any {
	model, version := "example_model", "1"
	switch {
	case strings.HasPrefix(string(e), "prompt"):
		return examplePrompt(e)
	case e.Entity() == "deployment" || e.Entity() == "rollout":
		data := map[string]any{"deployment": "dep_example", "endpoint": "example", "model": model, "version": version, "by": "ada"}
		switch e {
		case RolloutStepped:
			data["weight"] = 5.0
		case DeploymentFailed, DeploymentAborted, DeploymentRolledBack, RolloutPaused:
			data["reason"] = "an example"
		}
		return data
	}
	data := map[string]any{"name": model}
	with := func(pairs ...any) map[string]any {
		for i := 0; i+1 < len(pairs); i += 2 {
			data[pairs[i].(string)] = pairs[i+1]
		}
		return data
	}
	tags := map[string]string{"example_key": "example_value"}
	switch e {
	case ModelCreated:
		return with("tags", tags, "description", "An example registered model")
	case VersionCreated:
		return with("version", version, "source", "models:/123", "run_id", "abcd1234abcd5678", "tags", tags, "description", "An example model version")
	case VersionTagSet:
		return with("version", version, "key", "example_key", "value", "example_value")
	case VersionTagGone:
		return with("version", version, "key", "example_key")
	case AliasCreated:
		return with("alias", "example_alias", "version", version)
	case AliasDeleted, AliasRemoved:
		return with("alias", "example_alias")
	case AliasMoved:
		return with("alias", "champion", "from", "1", "to", "2", "by", "ada", "reason", "an example")
	case AliasRequested, AliasApproved, AliasRejected:
		return with("alias", "champion", "to", "2", "by", "ada", "reason", "an example")
	case StageChanged:
		return with("version", version, "from", "None", "to", "Staging", "by", "ada")
	case ModelRenamed:
		return with("new_name", "another_example", "by", "ada")
	case VersionUpdated, VersionDeleted:
		return with("version", version, "by", "ada")
	default:
		return with("by", "ada")
	}
}

func examplePrompt(e Event) map[string]any {
	data := map[string]any{"name": "example_prompt"}
	if strings.HasPrefix(string(e), "prompt_version") || e == PromptAliasSet {
		data["version"] = "1"
	}
	switch e {
	case PromptCreated:
		data["tags"], data["description"] = map[string]string{"example_key": "example_value"}, "An example prompt"
	case PromptVersion:
		data["template"] = "Hello {{name}}!"
		data["tags"], data["description"] = map[string]string{"example_key": "example_value"}, "An example prompt version"
	case PromptTagSet, PromptVersionSet:
		data["key"], data["value"] = "example_key", "example_value"
	case PromptTagGone, PromptVersionDel:
		data["key"] = "example_key"
	default:
		data["alias"] = "example_alias"
	}
	return data
}

// NotServed is the refusal of MLflow's events that do not exist here.
func NotServed(what string) error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeWebhook, "choose another event", "This server has no events %s", quote(what))
}
