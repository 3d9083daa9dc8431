package authz

// Kinds of resources.
const (
	KindServer   = "Server"
	KindEndpoint = "Endpoint"
	KindModel    = "Model"
	KindAccount  = "Account"
	KindDataset  = "Dataset"
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

	AccountRead    Action = "account:read"
	AccountCreate  Action = "account:create"
	AccountDisable Action = "account:disable"
	AccountGrant   Action = "account:grant" // and withdraw
	AccountClear   Action = "account:clear" // change the clearance
	TokenIssue     Action = "token:issue"
	TokenRevoke    Action = "token:revoke"

	DatasetRead Action = "dataset:read"
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
)

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
	AuditRetain:   {KindServer, groupOperate},
	AuditWitness:  {KindServer, groupWitness},
	MetricsRead:   {KindServer, groupObserve},

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

	AccountRead:    {KindAccount, groupStaff},
	AccountCreate:  {KindAccount, groupStaff},
	AccountDisable: {KindAccount, groupStaff},
	AccountGrant:   {KindAccount, groupAdminister},
	AccountClear:   {KindAccount, groupAdminister},
	TokenIssue:     {KindAccount, groupStaff},
	TokenRevoke:    {KindAccount, groupStaff},

	DatasetRead: {KindDataset, groupData},
}
