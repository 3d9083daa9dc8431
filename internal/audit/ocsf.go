package audit

import (
	"cmp"
	"strings"
	"time"
)

// The Open Cybersecurity Schema Framework, schema.ocsf.io, in the version that is named in
// each event. Classes, with what we need of their activities.
const (
	ocsfVersion = "1.7.0"

	accountChange  = 3001 // 1 create, 5 disable
	authentication = 3002 // 1 logon, 2 logoff, 4 service ticket renewal
	entityChange   = 3004 // entity management: 1 create, 3 update, 4 delete
	accessChange   = 3005 // user access management: 1 assign, 2 revoke
	lifecycle      = 6002 // of an application: 1 install, 2 remove, 3 start, 4 stop, 6 enable, 7 disable, 8 update
	apiActivity    = 6003 // 1 create, 2 read, 3 update, 4 delete

	other = 99

	informational = 1
	medium        = 3
	high          = 4
)

// meaning is what an action is in OCSF.
type meaning struct {
	class    int
	activity int
	severity int // 0: informational
	failed   bool
	kind     string // of the subject
}

// meanings has every action that the platform records. A test looks for those that are
// missing; in the log one that is not here is some other activity of the API.
var meanings = map[string]meaning{
	"deployment.created":     {class: lifecycle, activity: 1, kind: "deployment"},
	"deployment.stage":       {class: lifecycle, activity: other, kind: "deployment"},
	"deployment.released":    {class: lifecycle, activity: 3, kind: "deployment"},
	"deployment.commanded":   {class: lifecycle, activity: other, kind: "deployment"},
	"deployment.failed":      {class: lifecycle, activity: other, severity: medium, failed: true, kind: "deployment"},
	"deployment.aborted":     {class: lifecycle, activity: 4, kind: "deployment"},
	"deployment.rolled-back": {class: lifecycle, activity: 7, severity: medium, failed: true, kind: "deployment"},

	"rollout.starting":    {class: lifecycle, activity: 3, kind: "deployment"},
	"rollout.checking":    {class: lifecycle, activity: other, kind: "deployment"},
	"rollout.stepping":    {class: lifecycle, activity: 8, kind: "deployment"},
	"rollout.paused":      {class: lifecycle, activity: other, severity: medium, kind: "deployment"},
	"rollout.promoting":   {class: lifecycle, activity: 8, kind: "deployment"},
	"rollout.done":        {class: lifecycle, activity: 6, kind: "deployment"},
	"rollout.rolled-back": {class: lifecycle, activity: 7, severity: medium, failed: true, kind: "deployment"},
	"rollout.failed":      {class: lifecycle, activity: 4, severity: medium, failed: true, kind: "deployment"},
	"rollout.aborted":     {class: lifecycle, activity: 4, kind: "deployment"},
	"rollout.vetoed":      {class: lifecycle, activity: 7, severity: high, kind: "deployment"},
	"endpoint.confirmed":  {class: lifecycle, activity: 6, kind: "endpoint"},
	"revision.retired":    {class: lifecycle, activity: 2, kind: "revision"},

	"version.registered":    {class: entityChange, activity: 1, kind: "model"},
	"experiment.imported":   {class: entityChange, activity: 1, kind: "experiment"},
	"run.imported":          {class: entityChange, activity: 1, kind: "run"},
	"logged_model.imported": {class: entityChange, activity: 1, kind: "logged model"},

	"version.exported": {class: entityChange, activity: 2, kind: "model"},
	"alias.moved":      {class: entityChange, activity: 3, kind: "alias"},
	"alias.deleted":    {class: entityChange, activity: 4, kind: "alias"},

	"model.created":       {class: entityChange, activity: 1, kind: "model"},
	"model.described":     {class: entityChange, activity: 3, kind: "model"},
	"model.renamed":       {class: entityChange, activity: 3, kind: "model"},
	"model.deleted":       {class: entityChange, activity: 4, kind: "model"},
	"model.tag_set":       {class: entityChange, activity: 3, kind: "model"},
	"model.tag_deleted":   {class: entityChange, activity: 3, kind: "model"},
	"version.described":   {class: entityChange, activity: 3, kind: "model"},
	"version.staged":      {class: entityChange, activity: 3, kind: "model"},
	"version.deleted":     {class: entityChange, activity: 4, kind: "model"},
	"version.tag_set":     {class: entityChange, activity: 3, kind: "model"},
	"version.tag_deleted": {class: entityChange, activity: 3, kind: "model"},

	"version.signed":       {class: entityChange, activity: other, kind: "model"},
	"version.freed":        {class: entityChange, activity: 4, kind: "model"},
	"card.written":         {class: entityChange, activity: 3, kind: "model"},
	"signing.key-added":    {class: apiActivity, activity: 1, kind: "signing key"},
	"alias.protected":      {class: accessChange, activity: 2, kind: "alias"},
	"alias.unprotected":    {class: accessChange, activity: 1, severity: medium, kind: "alias"},
	"alias.requested":      {class: entityChange, activity: other, kind: "alias"},
	"alias.lift-requested": {class: entityChange, activity: other, kind: "alias"},
	"alias.approved":       {class: entityChange, activity: other, kind: "alias"},
	"alias.rejected":       {class: entityChange, activity: other, kind: "alias"},
	"alias.request-done":   {class: entityChange, activity: other, kind: "alias"},

	"experiment.created":     {class: entityChange, activity: 1, kind: "experiment"},
	"experiment.renamed":     {class: entityChange, activity: 3, kind: "experiment"},
	"experiment.deleted":     {class: entityChange, activity: 4, kind: "experiment"},
	"experiment.restored":    {class: entityChange, activity: 3, kind: "experiment"},
	"run.created":            {class: entityChange, activity: 1, kind: "run"},
	"run.ended":              {class: entityChange, activity: 3, kind: "run"},
	"run.deleted":            {class: entityChange, activity: 4, kind: "run"},
	"run.restored":           {class: entityChange, activity: 3, kind: "run"},
	"logged_model.created":   {class: entityChange, activity: 1, kind: "model"},
	"logged_model.finalized": {class: entityChange, activity: 3, kind: "model"},
	"logged_model.deleted":   {class: entityChange, activity: 4, kind: "model"},

	"artifact.replaced": {class: entityChange, activity: 3, kind: "artifact"},
	"artifact.deleted":  {class: entityChange, activity: 4, kind: "artifact"},

	"account.created":   {class: accountChange, activity: 1, kind: "account"},
	"account.disabled":  {class: accountChange, activity: 5, kind: "account"},
	"account.granted":   {class: accessChange, activity: 1, kind: "account"},
	"account.withdrawn": {class: accessChange, activity: 2, kind: "account"},
	"account.cleared":   {class: accessChange, activity: other, kind: "account"},

	"token.issued":  {class: apiActivity, activity: 1, kind: "account"},
	"token.revoked": {class: apiActivity, activity: 4, kind: "account"},
	"access.denied": {class: apiActivity, activity: other, severity: medium, failed: true},

	"account.invited":        {class: accountChange, activity: other, kind: "account"},
	"account.enrolled":       {class: accountChange, activity: other, kind: "account"},
	"account.recognized":     {class: accountChange, activity: 1, kind: "account"},
	"account.groups_changed": {class: accessChange, activity: other, kind: "account"},
	"sso.mapped":             {class: accessChange, activity: 1, kind: "group"},
	"sso.unmapped":           {class: accessChange, activity: 2, kind: "group"},
	"break_glass.asked":      {class: accessChange, activity: other, severity: high, kind: "account"},
	"break_glass.started":    {class: accessChange, activity: 1, severity: high, kind: "account"},
	"break_glass.ended":      {class: accessChange, activity: 2, severity: medium, kind: "account"},
	"review.started":         {class: accessChange, activity: other, kind: "access review"},
	"review.attested":        {class: accessChange, activity: other, kind: "access review"},
	"review.revoked":         {class: accessChange, activity: 2, kind: "access review"},
	"review.overdue":         {class: accessChange, activity: other, severity: medium, kind: "access review"},
	"review.closed":          {class: accessChange, activity: other, kind: "access review"},

	"signin.succeeded":    {class: authentication, activity: 1, kind: "account"},
	"signin.failed":       {class: authentication, activity: 1, severity: medium, failed: true, kind: "account"},
	"signin.locked":       {class: authentication, activity: 1, severity: medium, failed: true, kind: "account"},
	"signin.stepped_up":   {class: authentication, activity: other, kind: "account"},
	"signin.line_renewed": {class: authentication, activity: 4, kind: "account"},
	"signin.line_ended":   {class: authentication, activity: 2, kind: "account"},
	"device.approved":     {class: authentication, activity: other, kind: "account"},
	"device.denied":       {class: authentication, activity: other, failed: true, kind: "account"},
	"session.ended":       {class: authentication, activity: 2, kind: "account"},
	"session.all_ended":   {class: authentication, activity: 2, kind: "account"},

	"policy.proposed": {class: entityChange, activity: other, kind: "policies"},
	"policy.approved": {class: entityChange, activity: 3, kind: "policies"},
	"policy.rejected": {class: entityChange, activity: other, kind: "policies"},

	"keys.created":        {class: apiActivity, activity: 1, kind: "key space"},
	"keys.rotated":        {class: apiActivity, activity: 3, kind: "key space"},
	"keys.rewrapped":      {class: apiActivity, activity: 3, kind: "key space"},
	"keys.leaving":        {class: apiActivity, activity: 3, kind: "key space"},
	"keys.condemned":      {class: apiActivity, activity: 4, severity: medium, kind: "key space"},
	"keys.destroyed":      {class: apiActivity, activity: 4, severity: medium, kind: "key space"},
	"keys.shredding":      {class: apiActivity, activity: 4, severity: high, kind: "key space"},
	"keys.shredded":       {class: apiActivity, activity: 4, severity: high, kind: "key space"},
	"keys.shred-unproved": {class: apiActivity, activity: 4, severity: high, failed: true, kind: "key space"},
	"secret.set":          {class: apiActivity, activity: 3, kind: "secret"},
	"secret.deleted":      {class: apiActivity, activity: 4, kind: "secret"},

	"backup.created":  {class: apiActivity, activity: 1, kind: "backup"},
	"backup.failed":   {class: apiActivity, activity: 1, severity: high, failed: true, kind: "backup"},
	"backup.verified": {class: apiActivity, activity: 2, kind: "backup"},
	"backup.restored": {class: apiActivity, activity: 3, severity: medium, kind: "backup"},

	"access.unauthenticated": {class: apiActivity, activity: other, severity: medium, failed: true},
	"server.started":         {class: lifecycle, activity: 3, kind: "server"},

	"audit.retained":   {class: apiActivity, activity: 3, kind: "audit log"},
	"audit.rebuilt":    {class: apiActivity, activity: 3, severity: medium, kind: "audit log"},
	"witness.enrolled": {class: apiActivity, activity: 1, kind: "witnessed log"},

	"webhook.created":     {class: apiActivity, activity: 1, kind: "webhook"},
	"webhook.updated":     {class: apiActivity, activity: 3, kind: "webhook"},
	"webhook.deleted":     {class: apiActivity, activity: 4, kind: "webhook"},
	"webhook.disabled":    {class: apiActivity, activity: 3, severity: medium, kind: "webhook"},
	"webhook.tested":      {class: apiActivity, activity: other, kind: "webhook"},
	"webhook.redelivered": {class: apiActivity, activity: other, kind: "webhook"},

	"witness.refused": {class: apiActivity, activity: other, severity: high, failed: true, kind: "witnessed log"},
}

// Known says whether an action has its place in OCSF.
func Known(action string) bool {
	_, ok := meanings[action]
	return ok
}

type named struct {
	Name string `json:"name,omitempty"`
	Type string `json:"type,omitempty"`
	UID  string `json:"uid,omitempty"`
}

// event has the fields of the classes above: those that all need, and those that some do.
type event struct {
	CategoryUID int    `json:"category_uid"`
	ClassUID    int    `json:"class_uid"`
	ActivityID  int    `json:"activity_id"`
	TypeUID     int    `json:"type_uid"`
	SeverityID  int    `json:"severity_id"`
	StatusID    int    `json:"status_id"` // 1 success, 2 failure
	Time        int64  `json:"time"`      // milliseconds since 1970
	Message     string `json:"message,omitempty"`
	Metadata    struct {
		Version  string `json:"version"`
		UID      string `json:"uid"`
		Sequence int64  `json:"sequence"`
		Product  struct {
			Name   string `json:"name"`
			Vendor string `json:"vendor_name"`
		} `json:"product"`
	} `json:"metadata"`
	Actor struct {
		User named `json:"user"`
	} `json:"actor"`
	API       *operation `json:"api,omitempty"`
	Source    *endpoint  `json:"src_endpoint,omitempty"`
	App       *named     `json:"app,omitempty"`
	Entity    *named     `json:"entity,omitempty"`
	User      *named     `json:"user,omitempty"`
	Grants    []string   `json:"privileges,omitempty"`
	Resources []named    `json:"resources,omitempty"`
	Unmapped  struct {
		Slipway own `json:"slipway"`
	} `json:"unmapped"`
}

type operation struct {
	Operation string `json:"operation"`
}

// endpoint is where a call came in, and from which address where that is known.
type endpoint struct {
	Service string `json:"svc_name"`
	Address string `json:"ip,omitempty"`
}

func ocsf(o own, t time.Time) event {
	m, ok := meanings[o.Action]
	if !ok {
		m = meaning{class: apiActivity, activity: other}
	}
	e := event{CategoryUID: m.class / 1000, ClassUID: m.class, ActivityID: m.activity, TypeUID: m.class*100 + m.activity,
		SeverityID: cmp.Or(m.severity, informational), StatusID: 1, Time: t.UnixMilli(), Message: o.Detail["reason"]}
	if m.failed {
		e.StatusID = 2
	}
	e.Metadata.Version, e.Metadata.UID, e.Metadata.Sequence = ocsfVersion, o.ID, o.Seq
	e.Metadata.Product.Name, e.Metadata.Product.Vendor = "Slipway", "Slipway"
	e.Actor.User.Name = o.Actor
	if from := o.Detail["address"]; from != "" && m.class != lifecycle { // which has no such field
		e.Source = &endpoint{"slipway", from}
	}
	subject := named{Name: o.Subject, Type: m.kind}
	switch m.class {
	case apiActivity:
		e.API, e.Source = &operation{o.Action}, &endpoint{"slipway", o.Detail["address"]}
		e.Resources = []named{subject}
	case lifecycle:
		e.App = &named{Name: cmp.Or(o.Detail["endpoint"], o.Subject), UID: o.Subject}
	case entityChange:
		e.Entity = &subject
	default:
		e.User = &named{Name: o.Subject}
		if m.class == accessChange {
			e.Grants = []string{strings.TrimSpace(cmp.Or(o.Detail["role"], o.Detail["clearance"], "unknown") + " " + o.Detail["team"])}
		}
	}
	return e
}
