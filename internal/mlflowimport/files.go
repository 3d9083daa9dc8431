package mlflowimport

import (
	"context"
	"io"
	"path"
	"strings"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
)

// ours is what places of artifacts on a platform begin with.
const ours = "mlflow-artifacts:/"

// fileTries is how often a file that breaks off is read again.
const fileTries = 3

// tree copies artifacts, and says whether all have come. A file that is there with the same
// size is taken to be the same, unless everything is to be copied.
func (i *Import) tree(ctx context.Context, t tree, what, id, from, place string) (whole bool, err error) {
	if i.o.NoArtifacts {
		return true, nil
	}
	dest, ok := strings.CutPrefix(place, ours)
	if !ok {
		i.note(api.ImportLeft{What: "artifacts of the " + what, ID: id, Why: "the platform keeps those of that experiment elsewhere, at " + place})
		return true, nil
	}
	whole = true
	have := map[string]map[string]int64{}
	err = t.walk(ctx, func(p string, size int64) error {
		to := path.Join(dest, p)
		there, err := i.sizes(ctx, have, path.Dir(to))
		if err != nil {
			return err
		}
		if n, ok := there[path.Base(to)]; ok && n == size && !i.o.Full {
			i.did("", func(r *api.ImportReport) { r.Files.Unchanged++ })
			return nil
		}
		n, err := i.file(ctx, t, p, to, size)
		whole = whole && err == nil
		if err := i.left("artifact "+slipway.OneLine(p, 200)+" of the "+what, id, err); err != nil {
			return err
		}
		i.did("", func(r *api.ImportReport) {
			count(&r.Files, true, err == nil)
			r.Bytes += n
		})
		return nil
	})
	if err != nil && !ends(err) && !strings.HasPrefix(from, "mlflow-artifacts:") {
		e := slipway.AsError(err)
		i.note(api.ImportLeft{What: "artifacts of the " + what, ID: id, Failed: true, Why: "they lie at " + from + ", and the server does not give them: " + e.Message,
			Next: "give the MLflow server access to them, or copy them by hand"})
		return false, nil
	}
	return whole && err == nil, i.left("artifacts of the "+what, id, err)
}

// sizes are those of the files in a directory of the platform, asked for once.
func (i *Import) sizes(ctx context.Context, have map[string]map[string]int64, dir string) (map[string]int64, error) {
	if there, ok := have[dir]; ok {
		return there, nil
	}
	there, err := i.p.Artifacts(ctx, dir)
	if len(have) > 1000 { // a tree is walked directory by directory
		clear(have)
	}
	have[dir] = there
	return there, err
}

// file copies one file, and gives its bytes.
func (i *Import) file(ctx context.Context, t tree, from, to string, size int64) (n int64, err error) {
	for try := 1; ; try++ {
		n, err = i.fileOnce(ctx, t, from, to, size)
		if err == nil || try == fileTries || ctx.Err() != nil || slipway.AsError(err).Kind != slipway.Unavailable {
			return n, err
		}
	}
}

func (i *Import) fileOnce(ctx context.Context, t tree, from, to string, size int64) (int64, error) {
	in, length, err := t.read(ctx, from)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	if length < 0 {
		length = size
	}
	c := &counted{r: in}
	if err := i.p.PutArtifact(ctx, to, length, c); err != nil {
		if c.err != nil && c.err != io.EOF { //nolint:errorlint // as readers give it
			return 0, c.err
		}
		return 0, err
	}
	if size >= 0 && c.n != size {
		return c.n, slipway.Errorf(slipway.Conflict, slipway.CodeImport, "run the same command again", "it has %d bytes, and the server listed it with %d", c.n, size)
	}
	return c.n, nil
}

// counted counts bytes, and remembers the error that ended them.
type counted struct {
	r   io.Reader
	n   int64
	err error
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n, c.err = c.n+int64(n), err
	return n, err
}
