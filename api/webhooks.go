package api

import "time"

// WebhookEvents is what a webhook may be told of: first what MLflow's clients know, then the
// platform's own.
var WebhookEvents = []string{
	"registered_model.created", "model_version.created", "model_version_tag.set", "model_version_tag.deleted", "model_version_alias.created", "model_version_alias.deleted",
	"prompt.created", "prompt_version.created", "prompt_tag.set", "prompt_tag.deleted", "prompt_version_tag.set", "prompt_version_tag.deleted", "prompt_alias.created", "prompt_alias.deleted",
	"registered_model.updated", "registered_model.renamed", "registered_model.deleted", "model_version.updated", "model_version.deleted", "model_version.stage_changed", "alias.moved", "alias.deleted", "alias.requested", "alias.approved", "alias.rejected",
	"deployment.started", "deployment.succeeded", "deployment.failed", "deployment.aborted", "deployment.rolled_back", "rollout.started", "rollout.stepped", "rollout.paused",
}

// Webhook is an address that is told of events.
type Webhook struct {
	ID          string    `json:"id"`
	Team        string    `json:"team,omitempty" doc:"Whose events it is told; empty: those of every team"`
	Name        string    `json:"name"`
	URL         string    `json:"url"`
	Description string    `json:"description,omitempty"`
	Events      []string  `json:"events"`
	Status      string    `json:"status" enum:"active,disabled"`
	Signed      bool      `json:"signed" doc:"Whether it has a secret, which is never answered"`
	Created     time.Time `json:"created"`
	Updated     time.Time `json:"updated"`
	By          string    `json:"by"`
	Because     string    `json:"because,omitempty" doc:"Why the platform has disabled it"`
	Failing     time.Time `json:"failing,omitzero" doc:"Since when every attempt fails"`
	Failures    int       `json:"failures,omitempty" doc:"Attempts since then"`
	Trouble     string    `json:"trouble,omitempty" doc:"What was wrong with the last one"`
	Waiting     int       `json:"waiting,omitempty" doc:"Deliveries that wait, while it fails"`
}

// CreateWebhook makes one, of a team or of the whole installation.
type CreateWebhook struct {
	Team        string   `json:"team,omitempty" maxLength:"63"`
	AllTeams    bool     `json:"all_teams,omitempty" doc:"Instead of a team"`
	Name        string   `json:"name" maxLength:"63"`
	URL         string   `json:"url" maxLength:"2048"`
	Description string   `json:"description,omitempty" maxLength:"1000"`
	Events      []string `json:"events" minItems:"1" maxItems:"50"`
	Secret      string   `json:"secret,omitempty" maxLength:"1024" doc:"Deliveries are signed with it; empty: they are not signed"`
}

// ChangeWebhook changes what is given.
type ChangeWebhook struct {
	Name        *string  `json:"name,omitempty" maxLength:"63"`
	URL         *string  `json:"url,omitempty" maxLength:"2048"`
	Description *string  `json:"description,omitempty" maxLength:"1000"`
	Events      []string `json:"events,omitempty" maxItems:"50"`
	Secret      *string  `json:"secret,omitempty" maxLength:"1024" doc:"Empty: deliveries are not signed any more"`
	Status      string   `json:"status,omitempty" enum:"active,disabled"`
}

// TestWebhook asks for an example to be sent.
type TestWebhook struct {
	Event string `json:"event,omitempty" maxLength:"63" doc:"Empty: the first that it is told of"`
}

// WebhookTest is what came of it.
type WebhookTest struct {
	Arrived bool `json:"arrived"`
	WebhookAttempt
	Said string `json:"said,omitempty" doc:"The beginning of what the receiver answered"`
}

// WebhookAttempt is one time that a delivery was sent.
type WebhookAttempt struct {
	Time   time.Time `json:"time"`
	Took   float64   `json:"took_ms"`
	Status int       `json:"status,omitempty" doc:"Of the response; 0: there was none"`
	Error  string    `json:"error,omitempty"`
}

// WebhookDelivery is one event for one webhook.
type WebhookDelivery struct {
	ID       string           `json:"id" doc:"As in the header X-MLflow-Delivery-Id, the same in every attempt"`
	Event    string           `json:"event"`
	Seq      int64            `json:"seq" doc:"Of the event in the record"`
	State    string           `json:"state" enum:"waiting,delivered,failed"`
	Created  time.Time        `json:"created"`
	Next     time.Time        `json:"next,omitzero" doc:"Of the next attempt"`
	Finished time.Time        `json:"finished,omitzero"`
	Attempts []WebhookAttempt `json:"attempts,omitempty" doc:"The newest 20"`
}

// Redeliver lets finished deliveries be sent again.
type Redeliver struct {
	Deliveries []string `json:"deliveries,omitempty" maxItems:"100"`
	Failed     bool     `json:"failed,omitempty" doc:"Instead, all that have failed"`
}

// Redelivered says how many those are.
type Redelivered struct {
	Deliveries int `json:"deliveries"`
}
