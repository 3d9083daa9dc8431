package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/slipway-ml/slipway/internal/disk"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/internal/audit"
	"github.com/slipway-ml/slipway/internal/sqlstore/event"
)

func eventView(e event.Event) api.Event {
	return api.Event{Seq: e.Seq, ID: e.ID, Time: e.Time, Actor: e.Actor, Action: e.Action, Subject: e.Subject, Detail: e.Detail}
}

// Search implements httpapi.Audit.
func (s *Service) Search(ctx context.Context, q api.AuditQuery) ([]api.Event, error) {
	found, err := s.Events.Search(ctx, event.Query{Actor: q.Actor, Action: q.Action, Subject: q.Subject, Since: q.Since, Until: q.Until, Text: q.Text, Before: q.Before}, q.Limit)
	out := []api.Event{}
	for _, e := range found {
		out = append(out, eventView(e))
	}
	return out, err
}

// Prove implements httpapi.Audit.
func (s *Service) Prove(ctx context.Context, id string) (api.AuditProof, error) {
	l, err := s.opened()
	if err != nil {
		return api.AuditProof{}, err
	}
	e, err := s.find(ctx, id)
	if err != nil {
		return api.AuditProof{}, err
	}
	point, index := l.Checkpoint(), uint64(e.Seq)-1
	if index >= point.Size {
		return api.AuditProof{}, slipway.Errorf(slipway.Conflict, slipway.CodeAuditPending, "try again in a second; if it stays so: platform doctor", "event %d is recorded, and not in the audit log yet", e.Seq)
	}
	leaf, err := l.Leaf(index)
	if err != nil {
		return api.AuditProof{}, err
	}
	want, err := audit.Leaf(recordOf(e))
	if err != nil {
		return api.AuditProof{}, err
	}
	if string(want) != string(leaf) {
		return api.AuditProof{}, damaged("event %d is another in the database", e.Seq)
	}
	hashes, err := l.Inclusion(ctx, index, point.Size)
	if err != nil {
		return api.AuditProof{}, err
	}
	return api.AuditProof{Event: eventView(e), Leaf: string(leaf), Index: index, Hashes: hashes, Checkpoint: string(point.Text), Key: l.Key().Public()}, nil
}

// find takes an id or a sequence number.
func (s *Service) find(ctx context.Context, id string) (event.Event, error) {
	seq, err := strconv.ParseInt(id, 10, 64)
	if err != nil || seq < 1 {
		return s.Events.Find(ctx, id)
	}
	found, err := s.Events.List(ctx, seq-1, 1, "")
	if err != nil {
		return event.Event{}, err
	}
	if len(found) == 0 || found[0].Seq != seq {
		return event.Event{}, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform audit search", "there is no event %d", seq)
	}
	return found[0], nil
}

// Signed is how many events are in the log under a signed checkpoint.
func (s *Service) Signed() uint64 {
	l := s.log.Load()
	if l == nil {
		return 0
	}
	return l.Checkpoint().Size
}

// Status implements httpapi.Audit.
func (s *Service) Status(ctx context.Context) (api.AuditStatus, error) {
	out := api.AuditStatus{Anchors: []api.AuditAnchor{}, Cold: s.coldDirs()}
	var err error
	if out.Events, err = s.Events.Last(ctx); err != nil {
		return out, err
	}
	if out.Development, err = s.Development(ctx); err != nil {
		return out, err
	}
	if l := s.log.Load(); l != nil {
		point := l.Checkpoint()
		out.Log, out.Key, out.Signed, out.Checkpoint = l.Key().Name(), l.Key().Public(), point.Size, string(point.Text)
	}
	if cause := s.Gate.Cause(); cause != nil {
		e := slipway.AsError(cause)
		out.Problem, out.Next = e.Message, e.Next
	}
	for _, a := range s.anchors {
		out.Anchors = append(out.Anchors, a.view())
	}
	return out, nil
}

// Alerts are what those who look at anything should know.
func (s *Service) Alerts() []string {
	var out []string
	if cause := s.Gate.Cause(); cause != nil {
		out = append(out, "the audit log takes no events: "+slipway.AsError(cause).Message)
	}
	for _, a := range s.anchors {
		if v := a.view(); v.Problem != "" {
			out = append(out, "the audit log is not anchored at "+v.Anchor+": "+v.Problem)
		}
	}
	return out
}

// Findings are what the doctor finds.
func (s *Service) Findings(ctx context.Context) []api.Finding {
	st, err := s.Status(ctx)
	log := api.Finding{Check: "audit log", Verdict: audit.Pass, Message: fmt.Sprintf("%d of %d events are signed", st.Signed, st.Events)}
	switch {
	case err != nil:
		log.Verdict, log.Message, log.Next = audit.Fail, slipway.AsError(err).Message, "try again"
	case st.Problem != "":
		log.Verdict, log.Message, log.Next = audit.Fail, st.Problem, st.Next
	}
	out := []api.Finding{log}
	for _, a := range st.Anchors {
		f := api.Finding{Check: "audit anchor", Verdict: audit.Pass, Message: fmt.Sprintf("%s knows %d events", a.Anchor, a.Size)}
		if a.Problem != "" {
			f.Verdict, f.Message, f.Next = audit.Fail, a.Anchor+": "+a.Problem, "platform audit verify, and ask who runs "+a.Anchor
		}
		out = append(out, f)
	}
	if len(s.anchors) == 0 && !st.Development {
		out = append(out, api.Finding{Check: "audit anchor", Verdict: audit.Warn, Message: "the audit log is anchored nowhere: who runs this machine could write it anew", Next: "platform up --audit-anchor …"})
	}
	return out
}

// Retain implements httpapi.Audit. The act is an event before it begins; an interrupted one
// is called again.
func (s *Service) Retain(ctx context.Context, p slipway.Principal, r api.AuditRetain) (api.AuditRetained, error) {
	out := api.AuditRetained{To: filepath.Clean(r.To)}
	l, err := s.opened()
	if err != nil {
		return out, err
	}
	if !filepath.IsAbs(r.To) || strings.ContainsAny(r.To, "\n\x00") || strings.HasPrefix(out.To+"/", s.dir()+"/") {
		return out, &slipway.Error{Code: slipway.CodeInvalid, Kind: slipway.Invalid, Field: "to", Message: "is no directory for it", Next: "give an absolute path outside of the log"}
	}
	seq, found, err := s.Events.Since(ctx, r.Before)
	if err != nil {
		return out, err
	}
	end := l.Checkpoint().Size
	if found {
		end = min(end, uint64(seq)-1)
	}
	if err := os.MkdirAll(out.To, 0o700); err != nil {
		return out, &slipway.Error{Code: slipway.CodeIO, Kind: slipway.Invalid, Field: "to", Message: "cannot be made", Next: "let the server write its parent", Cause: err}
	}
	now := s.Now()
	err = s.Events.Append(ctx, slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: p.ID, Action: "audit.retained", Subject: l.Key().Name(),
		Detail: map[string]string{"before": r.Before.UTC().Format("2006-01-02T15:04:05Z"), "to": out.To, "events": fmt.Sprint(end / 256 * 256)}})
	if err != nil {
		return out, err
	}
	if dirs := s.coldDirs(); !slices.Contains(dirs, out.To) {
		dirs = append(dirs, out.To)
		if err := disk.Replace(s.coldFile(), []byte(strings.Join(dirs, "\n")+"\n"), true); err != nil {
			return out, &slipway.Error{Code: slipway.CodeIO, Kind: slipway.Internal, Message: "where the log is moved cannot be written down", Next: "free space on its disk", Cause: err}
		}
		l.Cold(dirs)
	}
	out.Events, err = l.Retain(out.To, end, nil)
	return out, err
}

// Witness implements httpapi.Audit: it cosigns a checkpoint of another platform's log.
func (s *Service) Witness(ctx context.Context, p slipway.Principal, r api.WitnessRequest) (api.Witnessed, error) {
	l, err := s.opened()
	if err != nil {
		return api.Witnessed{}, err
	}
	signer, public, err := l.Key().Witness()
	if err != nil {
		return api.Witnessed{}, err
	}
	key, err := audit.ParsePublic(r.Key)
	if err != nil {
		return api.Witnessed{}, err
	}
	seen, err := s.Events.Witnessed(ctx, key.Name())
	if err != nil && slipway.AsError(err).Kind != slipway.NotFound {
		return api.Witnessed{}, err
	}
	next, err := audit.Cosign(signer, seen, key.Key, p.ID, []byte(r.Checkpoint), r.From, r.Proof)
	now := s.Now()
	ev := slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: p.ID, Action: "witness.enrolled", Subject: key.Name()}
	switch {
	case slipway.AsError(err).Code == slipway.CodeAuditAnchor:
		ev.Action, ev.Detail = "witness.refused", map[string]string{"reason": slipway.AsError(err).Message}
		return api.Witnessed{}, errors.Join(s.Events.Append(ctx, ev), err)
	case err != nil:
		return api.Witnessed{}, err
	case seen.Log == "":
		err = s.Events.Witness(ctx, seen, next, ev)
	default: // not an event: two that witness each other would never come to an end
		err = s.Events.Witness(ctx, seen, next)
	}
	return api.Witnessed{Log: next.Log, Size: next.Size, Checkpoint: next.Checkpoint, Witness: public}, err
}

// Witnessed implements httpapi.Audit: what this witness has seen of a log last.
func (s *Service) Witnessed(ctx context.Context, log string) (api.Witnessed, error) {
	l, err := s.opened()
	if err != nil {
		return api.Witnessed{}, err
	}
	_, public, err := l.Key().Witness()
	if err != nil {
		return api.Witnessed{}, err
	}
	seen, err := s.Events.Witnessed(ctx, log)
	return api.Witnessed{Log: seen.Log, Size: seen.Size, Checkpoint: seen.Checkpoint, Witness: public}, err
}
