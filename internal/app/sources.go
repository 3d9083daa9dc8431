package app

import (
	"context"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/app/models"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
	"github.com/slipway-ml/slipway/internal/registry"
)

// untracked is models.Sources of a platform that keeps neither runs nor their artifacts.
type untracked struct{}

var errUntracked = slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "register files: platform deploy", "no runs are kept here")

// Run implements models.Sources.
func (untracked) Run(context.Context, mlflowapi.Caller, string) (models.Place, error) {
	return models.Place{}, errUntracked
}

// Logged implements models.Sources.
func (untracked) Logged(context.Context, mlflowapi.Caller, string) (models.Place, error) {
	return models.Place{}, errUntracked
}

// Output implements models.Sources.
func (untracked) Output(context.Context, mlflowapi.Caller, string, string) (models.Place, error) {
	return models.Place{}, errUntracked
}

// Files implements models.Sources.
func (untracked) Files(context.Context, mlflowapi.Caller, string) ([]registry.File, error) {
	return nil, errUntracked
}

// Registered implements models.Sources.
func (untracked) Registered(context.Context, mlflowapi.Caller, string, string, int) error {
	return errUntracked
}
