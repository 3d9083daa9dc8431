// Package artifacts serves MLflow's artifact proxy: files of runs and models by path, uploads
// in parts and downloads by signed addresses
// (mlflow/protos/mlflow_artifacts.proto, mlflow/server/handlers.py).
package artifacts

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/artifact"
	"github.com/slipway-ml/slipway/internal/authz"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
)

// Files are the use cases behind the routes. Each checks what its caller may do: what he may
// not read is not there for him. Paths come unescaped once, and are hostile.
type Files interface {
	Put(ctx context.Context, c mlflowapi.Caller, path string, in artifact.Content) error
	// Open gives a file and its bytes. A directory is Invalid.
	Open(ctx context.Context, c mlflowapi.Caller, path string) (artifact.File, artifact.Bytes, error)
	List(ctx context.Context, c mlflowapi.Caller, dir string) ([]artifact.Entry, error)
	Delete(ctx context.Context, c mlflowapi.Caller, path string) (artifact.Deleted, error)
}

// Parts are the use cases of uploads in parts. Path is where the file will lie.
type Parts interface {
	Begin(ctx context.Context, c mlflowapi.Caller, path string, parts int) (artifact.Upload, error)
	Complete(ctx context.Context, c mlflowapi.Caller, id, path string, sent []artifact.Sent) error
	Abort(ctx context.Context, c mlflowapi.Caller, id, path string) error
}

// Places says where the artifacts lie of what requests name, as MLflow's addresses. Each
// checks that the caller may read it.
type Places interface {
	Run(ctx context.Context, c mlflowapi.Caller, id string) (uri string, err error)
	LoggedModel(ctx context.Context, c mlflowapi.Caller, id string) (uri string, err error)
	Version(ctx context.Context, c mlflowapi.Caller, model, version string) (uri string, err error)
}

// Signer makes addresses that are good without a token, for one thing and for a time.
type Signer interface {
	// SignUpload is for the parts of an upload, SignFile for the bytes of a file.
	SignUpload(ctx context.Context, u artifact.Upload) (token string, err error)
	SignFile(ctx context.Context, f artifact.File) (token string, err error)
}

// Config is what the routes are made of.
type Config struct {
	Files  Files
	Parts  Parts
	Places Places
	Signer Signer
	// Base is the address of the server as the client of a request knows it, without a slash
	// at its end.
	Base func(r *http.Request) string
}

const proxy = "/mlflow-artifacts"

// Routes are all of them.
func Routes(c Config) []mlflowapi.Route {
	const file = proxy + "/artifacts/{path...}"
	routes := []mlflowapi.Route{
		mlflowapi.JSON(http.MethodGet, proxy+"/artifacts", authz.ExperimentRead, c.list),
		{Method: http.MethodPut, Path: file, Major: 2, Action: authz.ExperimentWrite, Serve: c.put},
		mlflowapi.JSON(http.MethodDelete, file, authz.ExperimentDelete, c.remove),
		{Method: http.MethodPost, Path: proxy + "/mpu/complete/{dir...}", Major: 2, Action: authz.ExperimentWrite, Serve: c.complete},
		mlflowapi.JSON(http.MethodPost, proxy+"/mpu/abort/{dir...}", authz.ExperimentWrite, c.abort),
		{Method: http.MethodPost, Path: proxy + "/mpu/create/{dir...}", Major: 2, Action: authz.ExperimentWrite, Serve: c.create},
		{Method: http.MethodGet, Path: proxy + "/presigned/{path...}", Major: 2, Action: authz.ExperimentRead, Serve: c.presigned},
		mlflowapi.JSON(http.MethodGet, "/mlflow/artifacts/list", authz.ExperimentRead, c.listRun),
		mlflowapi.JSON(http.MethodGet, "/mlflow/logged-models/{model_id}/artifacts/directories", authz.ExperimentRead, c.listModel),
		{Method: http.MethodPost, Path: "/mlflow/upload-artifact", Major: 2, Action: authz.ExperimentWrite, Serve: c.upload},
	}
	for _, r := range []mlflowapi.Route{
		{Path: file, Major: 2, Action: authz.ExperimentRead, Serve: c.get},
		{Path: "/get-artifact", Action: authz.ExperimentRead, Serve: c.getOfRun},
		{Path: "/model-versions/get-artifact", Action: authz.ModelRead, Serve: c.getOfVersion},
		{Path: "/mlflow/logged-models/{model_id}/artifacts/files", Major: 2, Action: authz.ExperimentRead, Serve: c.getOfModel},
	} {
		for _, r.Method = range []string{http.MethodGet, http.MethodHead} {
			routes = append(routes, r)
		}
	}
	return routes
}

// fileInfo is an entry of a directory.
type fileInfo struct {
	Path  string `json:"path"`
	IsDir bool   `json:"is_dir"`
	Size  *int64 `json:"file_size,omitempty"`
}

// infos are the entries of a directory, below a prefix.
func infos(entries []artifact.Entry, prefix string) []fileInfo {
	out := make([]fileInfo, len(entries))
	for i, e := range entries {
		out[i] = fileInfo{Path: path.Join(prefix, e.Name), IsDir: e.Dir}
		if !e.Dir {
			out[i].Size = &e.Size
		}
	}
	return out
}

type listIn struct {
	Path string `json:"path"`
}

type listOut struct {
	Files []fileInfo `json:"files,omitempty"`
}

// list gives names without their directory, as clients want it.
func (c Config) list(ctx context.Context, who mlflowapi.Caller, in *listIn) (out listOut, err error) {
	entries, err := c.Files.List(ctx, who, in.Path)
	return listOut{infos(entries, "")}, err
}

type listRunIn struct {
	RunID string `json:"run_id" required:"true" legacy:"run_uuid"`
	Old   string `json:"run_uuid"`
	Path  string `json:"path"`
	Token string `json:"page_token"`
}

type listBelowOut struct {
	Root  string     `json:"root_uri"`
	Files []fileInfo `json:"files,omitempty"`
}

func (c Config) listRun(ctx context.Context, who mlflowapi.Caller, in *listRunIn) (listBelowOut, error) {
	uri, err := c.Places.Run(ctx, who, in.RunID)
	if err != nil {
		return listBelowOut{}, err
	}
	return c.below(ctx, who, uri, in.Path)
}

type listModelIn struct {
	ModelID string `json:"model_id"`
	Dir     string `json:"artifact_directory_path"`
}

func (c Config) listModel(ctx context.Context, who mlflowapi.Caller, in *listModelIn) (listBelowOut, error) {
	uri, err := c.Places.LoggedModel(ctx, who, in.ModelID)
	if err != nil {
		return listBelowOut{}, err
	}
	return c.below(ctx, who, uri, in.Dir)
}

// below lists a directory in what lies at an address, with paths from there on.
func (c Config) below(ctx context.Context, who mlflowapi.Caller, uri, dir string) (listBelowOut, error) {
	dir, err := artifact.ParseDir(dir)
	if err != nil {
		return listBelowOut{}, err
	}
	p, err := within(uri, dir)
	if err != nil {
		return listBelowOut{}, err
	}
	entries, err := c.Files.List(ctx, who, p)
	return listBelowOut{uri, infos(entries, dir)}, err
}

// Scheme is that of addresses of what lies here.
const Scheme = "mlflow-artifacts:/"

// within is the path of something below an address.
func within(uri, rest string) (string, error) {
	dir, ok := strings.CutPrefix(uri, Scheme)
	if !ok {
		return "", slipway.Errorf(slipway.Invalid, slipway.CodeArtifactPath, "read it from where it lies", "these artifacts do not lie on this server")
	}
	return path.Join(strings.TrimLeft(dir, "/"), rest), nil
}

type nothing struct{}

type pathIn struct {
	Path string `json:"path"`
}

// remove deletes a file, or a directory. What is not there is deleted already.
func (c Config) remove(ctx context.Context, who mlflowapi.Caller, in *pathIn) (nothing, error) {
	_, err := c.Files.Delete(ctx, who, in.Path)
	if errors.Is(err, &slipway.Error{Code: slipway.CodeNotFound}) {
		err = nil
	}
	return nothing{}, err
}

// put stores the body of a request at a path.
func (c Config) put(w http.ResponseWriter, r *http.Request, who mlflowapi.Caller) error {
	return c.store(w, r, who, r.PathValue("path"), r.Body)
}

func (c Config) store(w http.ResponseWriter, r *http.Request, who mlflowapi.Caller, p string, body io.Reader) error {
	seen := &begun{r: body}
	err := c.Files.Put(r.Context(), who, p, artifact.Content{Type: r.Header.Get("Content-Type"), Size: r.ContentLength, Body: seen})
	if err != nil {
		seen.end(r.Body)
		return err
	}
	return mlflowapi.Answer(w, nothing{})
}

// begun notes whether a body was asked for.
type begun struct {
	r   io.Reader
	yes bool
}

func (b *begun) Read(p []byte) (int, error) {
	b.yes = true
	return b.r.Read(p)
}

// end reads the rest of a body that was begun: an answer before its end would break the
// connection of the gateway in between, which then says that the server is gone, and clients
// would try for minutes. One that was not begun the gateway has not sent.
func (b *begun) end(body io.Reader) {
	if b.yes {
		_, _ = io.Copy(io.Discard, body) // a client that left
	}
}

// maxPage bounds what pages of a browser upload, in bytes, as MLflow does.
const maxPage = 10 << 20

// upload stores what a page of a browser sends for a run.
func (c Config) upload(w http.ResponseWriter, r *http.Request, who mlflowapi.Caller) error {
	q := r.URL.Query()
	run, p := q.Get("run_uuid"), q.Get("path")
	switch {
	case run == "":
		return invalid("Request must specify run_uuid.")
	case p == "":
		return invalid("Request must specify path.")
	}
	if _, err := artifact.ParsePath(p); err != nil {
		return err
	}
	switch {
	case r.ContentLength > maxPage || r.ContentLength < 0:
		return invalid("Artifact size is too large. Max size is 10MB.")
	case r.ContentLength == 0:
		return invalid("Request must specify data.")
	}
	uri, err := c.Places.Run(r.Context(), who, run)
	if err != nil {
		return err
	}
	if p, err = artifact.ParsePath(p); err == nil {
		p, err = within(uri, p)
	}
	if err != nil {
		return err
	}
	return c.store(w, r, who, p, r.Body)
}

func invalid(message string) error {
	return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "correct what the message names", "%s", message)
}
