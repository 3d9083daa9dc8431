package tracking

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/slipway-ml/slipway"
)

// Stores is where a Service keeps things; one value may be all of them.
type Stores struct {
	Experiments ExperimentStore
	Runs        RunStore
	Log         LogStore
	History     HistoryStore
	Models      ModelStore
}

// Service is the use cases of tracking. Who may do what is decided by its caller, who finds
// the team of a thing first: reading methods take the teams whose things may be seen,
// writing ones take ids that were looked up so.
type Service struct {
	stores Stores
	root   string // of artifacts, such as "mlflow-artifacts:"
	now    func() time.Time

	defaults sync.Map // from a team to the id of its Default, which never changes
}

// New makes a Service. Artifacts of experiments lie below root.
func New(s Stores, root string, now func() time.Time) *Service {
	return &Service{stores: s, root: strings.TrimSuffix(root, "/"), now: now}
}

func (s *Service) millis() int64 { return s.now().UnixMilli() }

func (s *Service) event(p slipway.Principal, action, subject string, detail map[string]string) slipway.Event {
	now := s.now()
	return slipway.Event{ID: slipway.NewID("evt", now), Time: now, Actor: p.ID, Action: action, Subject: subject, Detail: detail}
}

// id makes an id as MLflow's server does: 32 hexadecimal digits.
func id() string {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err) // crypto/rand never fails on the platforms we build for
	}
	return hex.EncodeToString(b[:])
}

// invalid is what MLflow calls INVALID_PARAMETER_VALUE.
func invalid(format string, args ...any) error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "correct what the message names", format, args...)
}

// stale is an error of something that was deleted.
func stale(format string, args ...any) error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeRunState, "restore it, or use another one", format, args...)
}

// gone is what MLflow calls RESOURCE_DOES_NOT_EXIST.
func gone(format string, args ...any) error {
	return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "look at the id: platform runs list", format, args...)
}

// missing says in MLflow's words that something is not there, and leaves other errors.
func missing(err error, format string, args ...any) error {
	if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		return gone(format, args...)
	}
	return err
}

// Search is how a search is asked for.
type Search struct {
	Filter  string
	OrderBy []string
	View    View
	Max     int // 0: the default
	Token   string
}

// bounded is how many a page may have at most.
func bounded(want, usual, most int) (int, error) {
	switch {
	case want == 0:
		return usual, nil
	case want < 1:
		return 0, invalid("Invalid value %d for parameter 'max_results' supplied: It must be at least 1", want)
	case want > most:
		return 0, invalid("Invalid value for request parameter max_results. It must be at most %d, but got value %d", most, want)
	}
	return want, nil
}

// Bounds of pages, as MLflow has them.
const (
	maxExperiments  = 50_000
	maxRuns         = 50_000
	usualRuns       = 1000
	maxHistory      = 25_000
	usualModels     = 50
	maxModels       = 50_000
	maxExperimentID = 1000 // experiments in one search
	maxBulkRuns     = 100
	maxSample       = 2500
	maxSummaries    = 1000
	maxSummaryOf    = 20
)

// checkExperiments looks at the ids of experiments of a search.
func checkExperiments(ids []string) error {
	if len(ids) > maxExperimentID {
		return invalid("A search can be in at most %d experiments, but got %d", maxExperimentID, len(ids))
	}
	for _, id := range ids {
		if _, ok := number(id); !ok {
			return invalid("Invalid experiment ID '%s'. Experiment ID must be a valid integer.", short(id))
		}
	}
	return nil
}
