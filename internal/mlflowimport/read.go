package mlflowimport

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-ml/slipway"
)

// root is where every MLflow server since 1.0 answers.
const root = "/api/2.0/mlflow"

// Sizes of pages: large enough to be quick, small enough for runs with thousands of
// parameters.
const (
	pageOfExperiments = 500
	pageOfRuns        = 100
	pageOfHistory     = 10_000
	pageOfModels      = 100
)

// Version asks what answers.
func (s *Source) Version(ctx context.Context) (string, error) {
	var v string
	err := s.get(ctx, "/version", nil, &v)
	if errors.Is(err, &slipway.Error{Code: slipway.CodeSource}) && slipway.AsError(err).Kind == slipway.NotFound {
		return "", nil // before 1.28
	}
	if err == nil && (len(v) > 40 || !strings.Contains(v, ".") || strings.ContainsAny(v, "<>{} ")) {
		err = s.strange("what it says of its version is no MLflow's")
	}
	return v, err
}

func (s *Source) experiments(ctx context.Context, token string) (out []experiment, next string, err error) {
	var page struct {
		Experiments []experiment `json:"experiments"`
		Next        string       `json:"next_page_token"`
	}
	err = s.post(ctx, root+"/experiments/search", map[string]any{"max_results": pageOfExperiments, "page_token": token, "view_type": "ACTIVE_ONLY"}, &page)
	return page.Experiments, page.Next, err
}

// runs gives the oldest first, so that those that begin meanwhile come last.
func (s *Source) runs(ctx context.Context, experiment, token string) (out []run, next string, err error) {
	var page struct {
		Runs []run  `json:"runs"`
		Next string `json:"next_page_token"`
	}
	err = s.post(ctx, root+"/runs/search", map[string]any{"experiment_ids": []string{experiment}, "max_results": pageOfRuns, "page_token": token,
		"run_view_type": "ACTIVE_ONLY", "order_by": []string{"attributes.start_time ASC"}}, &page)
	return page.Runs, page.Next, err
}

func (s *Source) history(ctx context.Context, run, key, token string) (out []metric, next string, err error) {
	var page struct {
		Metrics []metric `json:"metrics"`
		Next    string   `json:"next_page_token"`
	}
	q := url.Values{"run_id": {run}, "run_uuid": {run}, "metric_key": {key}, "max_results": {strconv.Itoa(pageOfHistory)}}
	if token != "" {
		q.Set("page_token", token)
	}
	err = s.get(ctx, root+"/metrics/get-history", q, &page)
	return page.Metrics, page.Next, err
}

// loggedModels answers NotFound on servers of version 2, which have none.
func (s *Source) loggedModels(ctx context.Context, experiment, token string) (out []loggedModel, next string, err error) {
	var page struct {
		Models []loggedModel `json:"models"`
		Next   string        `json:"next_page_token"`
	}
	err = s.post(ctx, root+"/logged-models/search", map[string]any{"experiment_ids": []string{experiment}, "max_results": pageOfModels, "page_token": token}, &page)
	return page.Models, page.Next, err
}

func (s *Source) models(ctx context.Context, filter, token string) (out []registeredModel, next string, err error) {
	var page struct {
		Models []registeredModel `json:"registered_models"`
		Next   string            `json:"next_page_token"`
	}
	q := url.Values{"max_results": {strconv.Itoa(pageOfModels)}, "order_by": {"name ASC"}}
	if filter != "" {
		q.Set("filter", filter)
	}
	if token != "" {
		q.Set("page_token", token)
	}
	err = s.get(ctx, root+"/registered-models/search", q, &page)
	return page.Models, page.Next, err
}

// prompts is what asks for prompts, which MLflow keeps as models.
const prompts = "tags.`mlflow.prompt.is_prompt` = 'true'"

// versions gives the oldest of a model first.
func (s *Source) versions(ctx context.Context, model string, prompt bool, token string) (out []version, next string, err error) {
	var page struct {
		Versions []version `json:"model_versions"`
		Next     string    `json:"next_page_token"`
	}
	quote := "'"
	if strings.Contains(model, quote) {
		quote = `"`
	}
	filter := "name = " + quote + model + quote
	if prompt {
		filter += " AND " + prompts // which are shown to nobody else
	}
	q := url.Values{"max_results": {strconv.Itoa(pageOfModels)}, "order_by": {"version_number ASC"}, "filter": {filter}}
	if token != "" {
		q.Set("page_token", token)
	}
	err = s.get(ctx, root+"/model-versions/search", q, &page)
	return page.Versions, page.Next, err
}

// tree is the artifacts of a run, or of a logged model, as the server gives them: whatever
// store it keeps them in.
type tree struct {
	s          *Source
	list, open func(path string) (at string, query url.Values)
}

func (s *Source) runTree(id string) tree {
	return tree{s,
		func(p string) (string, url.Values) { return root + "/artifacts/list", query("run_id", id, "path", p) },
		func(p string) (string, url.Values) {
			return "/get-artifact", query("run_id", id, "run_uuid", id, "path", p)
		}}
}

func (s *Source) modelTree(id string) tree {
	at := "/mlflow/logged-models/" + url.PathEscape(id) + "/artifacts/"
	return tree{s,
		func(p string) (string, url.Values) {
			return "/api/2.0" + at + "directories", query("artifact_directory_path", p)
		},
		func(p string) (string, url.Values) {
			return "/ajax-api/2.0" + at + "files", query("artifact_file_path", p)
		}}
}

func query(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

// Bounds of a tree.
const (
	maxDepth = 64
	maxFiles = 200_000
)

// walk gives each file of a tree, by its path, and its size where the server says it. It
// refuses paths that lead out, or that never end.
func (t tree) walk(ctx context.Context, do func(path string, size int64) error) error {
	left := maxFiles
	var below func(dir string, depth int) error
	below = func(dir string, depth int) error {
		if depth > maxDepth {
			return t.s.strange("its directories of artifacts never end")
		}
		files, err := t.dir(ctx, dir)
		if err != nil {
			return err
		}
		for _, f := range files {
			if left--; left < 0 {
				return t.s.strange("more than %d artifacts lie in one place", maxFiles)
			}
			if !inside(dir, f.Path) {
				return t.s.strange("an artifact in %q is called %q", slipway.OneLine(dir, 200), slipway.OneLine(f.Path, 200))
			}
			switch {
			case f.Dir:
				err = below(f.Path, depth+1)
			case f.Size == nil:
				err = do(f.Path, -1)
			default:
				err = do(f.Path, int64(*f.Size))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return below("", 0)
}

// dir lists a directory, with paths from the root of the tree.
func (t tree) dir(ctx context.Context, dir string) (out []file, err error) {
	token := ""
	for {
		var page struct {
			Files []file `json:"files"`
			Next  string `json:"next_page_token"`
		}
		at, q := t.list(dir)
		if token != "" {
			q.Set("page_token", token)
		}
		if err := t.s.get(ctx, at, q, &page); err != nil {
			return nil, err
		}
		out = append(out, page.Files...)
		if page.Next == "" || page.Next == token {
			return out, nil
		}
		if token = page.Next; len(out) > maxFiles {
			return nil, t.s.strange("more than %d artifacts lie in one place", maxFiles)
		}
	}
}

// inside says whether a path is one of an entry of a directory, and of nothing else.
func inside(dir, p string) bool {
	return p != "" && !strings.ContainsAny(p, "\\\x00") && path.Clean(p) == p && p != "." && p != ".." && !strings.HasPrefix(p, "/") && !strings.HasPrefix(p, "../") &&
		path.Dir(p) == path.Clean("./"+dir)
}

// read opens a file. It ends with an error when no byte comes for a while.
func (t tree) read(ctx context.Context, p string) (in io.ReadCloser, size int64, err error) {
	at, q := t.open(p)
	ctx, cancel := context.WithCancel(ctx)
	var resp *http.Response
	err = t.s.repeat(ctx, func(ctx context.Context) (err error) {
		resp, err = t.s.ask(ctx, http.MethodGet, at, q, nil) //nolint:bodyclose // patient closes it
		return err
	})
	if err != nil {
		cancel()
		return nil, 0, err
	}
	r := &patient{s: t.s, ctx: ctx, in: resp.Body, cancel: cancel}
	r.timer = time.AfterFunc(t.s.idle, cancel)
	return r, resp.ContentLength, nil
}

// patient reads as long as bytes come.
type patient struct {
	s      *Source
	ctx    context.Context //nolint:containedctx // of the request that it reads
	in     io.ReadCloser
	cancel context.CancelFunc
	timer  *time.Timer
}

func (p *patient) Read(b []byte) (int, error) {
	n, err := p.in.Read(b)
	if err == nil {
		p.timer.Reset(p.s.idle)
	} else if err != io.EOF {
		err = &slipway.Error{Code: slipway.CodeSource, Kind: slipway.Unavailable, Cause: err, Message: p.s.base.Host + " broke off a file", Next: "run the same command again: it goes on"}
	}
	return n, err
}

// Close ends the request.
func (p *patient) Close() error {
	p.timer.Stop()
	p.cancel()
	return p.in.Close()
}
