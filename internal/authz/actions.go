package authz

import "github.com/slipway-ml/slipway"

// Kinds of resources.
const (
	KindServer   = "Server"
	KindEndpoint = "Endpoint"
	KindModel    = "Model"
	KindAccount  = "Account"
	KindDataset  = "Dataset"
	KindTeam     = "Team"
	KindSecret   = "Secret" // those of a team
	KindWebhook  = "Webhook"
	// KindExperiment is an experiment of MLflow's with its runs and their artifacts.
	KindExperiment = "Experiment"
)

// Action is what may be done with resources of one kind. Policies name it, or its group.
type Action string

// The actions.
const (
	ServerRead    Action = "server:read"
	ServerExamine Action = "server:examine"
	Upload        Action = "blob:upload"
	AuditRead     Action = "audit:read"
	AuditRetain   Action = "audit:retain"  // move parts of the audit log away
	AuditWitness  Action = "audit:witness" // have another platform's log witnessed here
	MetricsRead   Action = "metrics:read"
	KeysRead      Action = "keys:read"
	KeysRotate    Action = "keys:rotate"
	KeysShred     Action = "keys:shred"

	BackupRead      Action = "backup:read"
	BackupCreate    Action = "backup:create"
	BackupElsewhere Action = "backup:elsewhere" // to, or in, a place that is not the configured one

	EndpointRead     Action = "endpoint:read"
	EndpointLogs     Action = "endpoint:logs"
	EndpointPlan     Action = "endpoint:plan"
	EndpointDeploy   Action = "endpoint:deploy"
	EndpointCommand  Action = "endpoint:command" // promote and abort
	EndpointRollback Action = "endpoint:rollback"
	EndpointPredict  Action = "endpoint:predict"

	ModelRead     Action = "model:read"
	ModelRegister Action = "model:register"
	ModelAlias    Action = "model:alias"
	ModelUpdate   Action = "model:update" // what is said of it: description, tags, stages, its name
	ModelDelete   Action = "model:delete" // it or its versions

	ExperimentRead   Action = "experiment:read"
	ExperimentWrite  Action = "experiment:write"  // it and its runs
	ExperimentDelete Action = "experiment:delete" // it or its runs, and bring them back

	ModelSign    Action = "model:sign"    // a version that is there already
	AliasProtect Action = "alias:protect" // and lift the protection
	AliasApprove Action = "alias:approve" // and reject; the rule says with which role

	AccountRead    Action = "account:read"
	AccountCreate  Action = "account:create"
	AccountDisable Action = "account:disable"
	AccountGrant   Action = "account:grant" // and withdraw
	AccountClear   Action = "account:clear" // change the clearance
	TokenIssue     Action = "token:issue"
	TokenRotate    Action = "token:rotate"
	TokenRevoke    Action = "token:revoke"

	DatasetRead Action = "dataset:read"

	PolicyRead    Action = "policy:read"
	PolicyPropose Action = "policy:propose"
	PolicyDecide  Action = "policy:decide" // approve or reject what another has proposed

	ReviewManage  Action = "review:manage" // start and close
	ReviewRead    Action = "review:read"
	ReviewAttest  Action = "review:attest"      // or have a grant revoked
	AccountInvite Action = "account:invite"     // to set a password and a second factor
	BreakGlass    Action = "server:break-glass" // become an owner in an emergency
	Confirm       Action = "server:confirm"     // let another become one
	ProviderRead  Action = "sso:read"           // which group has which role
	ProviderMap   Action = "sso:map"
	SecretList    Action = "secret:list" // their names
	SecretSet     Action = "secret:set"
	SecretDelete  Action = "secret:delete"
	WebhookRead   Action = "webhook:read"
	WebhookManage Action = "webhook:manage" // make, change and delete them, and send again
)

// Groups of actions, as policies name them.
const (
	groupRead       = "read"
	groupObserve    = "observe" // what may show data by accident: logs
	groupAudit      = "audit"
	groupWitness    = "witness"
	groupUpload     = "upload"
	groupDevelop    = "develop"
	groupOperate    = "operate"
	groupCall       = "call"
	groupStaff      = "staff"      // who is in a team, and its services
	groupAdminister = "administer" // what belongs to no team
	groupData       = "data"
	groupEmergency  = "emergency"
	groupConfirm    = "confirm"
	groupGovern     = "govern" // owners only
)

// SecretsOf are the secrets of a team as policies see them: their names tell of its systems,
// and others have no need to know them.
func SecretsOf(team string) Resource {
	return Resource{Kind: KindSecret, Name: team, Team: team, Classification: slipway.Classifications[len(slipway.Classifications)-1]}
}

// ExperimentOf is an experiment as policies see it, by its id. Its runs are a part of it.
func ExperimentOf(id, team string) Resource {
	return Resource{Kind: KindExperiment, Name: id, Team: team}
}

// WebhooksOf are the webhooks of a team as policies see them, or those of every team's events
// for "": their addresses may be secrets, and others have no need to know them.
func WebhooksOf(team string) Resource {
	return Resource{Kind: KindWebhook, Name: team, Team: team, Classification: slipway.Classifications[len(slipway.Classifications)-1]}
}

// Meaning is what an action is good for.
type Meaning struct {
	Kind  string // of the resource
	Group string
}

// Actions is every action that there is.
var Actions = map[Action]Meaning{
	ServerRead:    {KindServer, groupRead},
	ServerExamine: {KindServer, groupOperate},
	Upload:        {KindServer, groupUpload},
	AuditRead:     {KindServer, groupAudit},
	AuditRetain:   {KindServer, groupAdminister},
	AuditWitness:  {KindServer, groupWitness},
	MetricsRead:   {KindServer, groupObserve},
	KeysRead:      {KindServer, groupAudit},
	KeysRotate:    {KindServer, groupAdminister},
	KeysShred:     {KindServer, groupAdminister},

	BackupRead:      {KindServer, groupAudit},
	BackupCreate:    {KindServer, groupOperate},
	BackupElsewhere: {KindServer, groupGovern},

	EndpointRead:     {KindEndpoint, groupRead},
	EndpointLogs:     {KindEndpoint, groupObserve},
	EndpointPlan:     {KindEndpoint, groupDevelop},
	EndpointDeploy:   {KindEndpoint, groupDevelop},
	EndpointCommand:  {KindEndpoint, groupOperate},
	EndpointRollback: {KindEndpoint, groupOperate},
	EndpointPredict:  {KindEndpoint, groupCall},

	ModelRead:     {KindModel, groupRead},
	ModelRegister: {KindModel, groupDevelop},
	ModelAlias:    {KindModel, groupDevelop},
	ModelUpdate:   {KindModel, groupDevelop},
	ModelDelete:   {KindModel, groupDevelop},

	ExperimentRead:   {KindExperiment, groupRead},
	ExperimentWrite:  {KindExperiment, groupDevelop},
	ExperimentDelete: {KindExperiment, groupDevelop},

	ModelSign:    {KindModel, groupStaff},
	AliasProtect: {KindModel, groupStaff},
	AliasApprove: {KindModel, groupStaff},

	AccountRead:    {KindAccount, groupStaff},
	AccountCreate:  {KindAccount, groupStaff},
	AccountDisable: {KindAccount, groupStaff},
	AccountGrant:   {KindAccount, groupAdminister},
	AccountClear:   {KindAccount, groupAdminister},
	TokenIssue:     {KindAccount, groupStaff},
	TokenRotate:    {KindAccount, groupStaff},
	TokenRevoke:    {KindAccount, groupStaff},

	DatasetRead: {KindDataset, groupData},

	PolicyRead:    {KindServer, groupAudit},
	PolicyPropose: {KindServer, groupAdminister},
	PolicyDecide:  {KindServer, groupAdminister},

	ReviewManage: {KindServer, groupAdminister},
	ReviewRead:   {KindTeam, groupStaff},
	ReviewAttest: {KindTeam, groupStaff},

	AccountInvite: {KindAccount, groupAdminister},
	BreakGlass:    {KindServer, groupEmergency},
	Confirm:       {KindServer, groupConfirm},
	ProviderRead:  {KindServer, groupAudit},
	ProviderMap:   {KindServer, groupGovern},
	SecretList:    {KindSecret, groupRead},
	SecretSet:     {KindSecret, groupDevelop},
	SecretDelete:  {KindSecret, groupDevelop},
	WebhookRead:   {KindWebhook, groupRead},
	WebhookManage: {KindWebhook, groupOperate},
}
