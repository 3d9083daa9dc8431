package mlflowapi_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
)

// tokens knows an engineer of risk, a lead of two teams and a caller.
type tokens struct{}

func (tokens) Authenticate(_ context.Context, token string) (slipway.Principal, error) {
	role := func(name, team string) slipway.Role { return slipway.Role{Name: name, Team: team} }
	switch token {
	case "ana":
		return slipway.Principal{ID: "ana", Roles: []slipway.Role{role(slipway.RoleEngineer, "risk")}}, nil
	case "two":
		return slipway.Principal{ID: "two", Roles: []slipway.Role{role(slipway.RoleEngineer, "risk"), role(slipway.RoleTeamLead, "growth")}}, nil
	case "shop":
		return slipway.Principal{ID: "shop"}, nil
	}
	return slipway.Principal{}, slipway.Errorf(slipway.Unauthorized, slipway.CodeUnauthorized, "send a valid token", "the token is not valid")
}

// access lets everybody do everything but the shop.
type access struct{ t testing.TB }

func (x access) Enter(_ context.Context, p slipway.Principal, a authz.Action, _ string) error {
	if _, ok := authz.Actions[a]; !ok {
		x.t.Errorf("%q is no action", a)
	}
	if p.ID == "shop" {
		return slipway.Errorf(slipway.Denied, slipway.CodeDenied, "ask somebody", "shop may not do %s", a)
	}
	return nil
}

// Pet is a message with a field of each kind.
type Pet struct {
	ID     string            `json:"pet_id" required:"true" legacy:"pet_uuid"`
	UUID   string            `json:"pet_uuid"`
	Age    *mlflowapi.Int    `json:"age"`
	Weight mlflowapi.Float   `json:"weight"`
	Kind   mlflowapi.Enum    `json:"pet_kind"`
	Tame   bool              `json:"tame"`
	Names  []string          `json:"names"`
	Toys   []Toy             `json:"toys"`
	Years  []mlflowapi.Int   `json:"years"`
	Sizes  []mlflowapi.Float `json:"sizes"`
}

// Toy is a message in another.
type Toy struct {
	Key string `json:"key" required:"true"`
}

// Seen is what a handler has got.
type Seen struct {
	Pet
	Team   string          `json:"team"`
	Named  bool            `json:"named"`
	Weight mlflowapi.Float `json:"weight"`
}

func see(_ context.Context, c mlflowapi.Caller, in *Pet) (Seen, error) {
	return Seen{*in, c.Team, c.Named, in.Weight}, nil
}

func handler(t testing.TB, more ...mlflowapi.Route) http.Handler {
	routes := append([]mlflowapi.Route{
		mlflowapi.JSON(http.MethodPost, "/mlflow/pets/create", authz.ExperimentWrite, see),
		mlflowapi.JSON(http.MethodGet, "/mlflow/pets/get", authz.ExperimentRead, see),
		mlflowapi.JSON(http.MethodDelete, "/mlflow/pets/{pet_id}", authz.ExperimentWrite, see),
	}, more...)
	return mlflowapi.New(mlflowapi.Config{Auth: tokens{}, Access: access{t}, Routes: routes, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
}

// ask sends a request, with a token unless it is empty, and headers in pairs.
func ask(h http.Handler, method, path, token, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// failed reads an error.
func failed(t *testing.T, w *httptest.ResponseRecorder) (code, message string) {
	t.Helper()
	var f struct {
		Code    string `json:"error_code"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%v: %d %v %s", err, w.Code, w.Header(), w.Body)
	}
	return f.Code, f.Message
}
