package artifacts

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/artifact"
	"github.com/slipway-ml/slipway/internal/mlflowapi"
)

// get answers with a file, or a range of it.
func (c Config) get(w http.ResponseWriter, r *http.Request, who mlflowapi.Caller) error {
	return c.send(w, r, who, r.PathValue("path"))
}

func (c Config) getOfRun(w http.ResponseWriter, r *http.Request, who mlflowapi.Caller) error {
	q := r.URL.Query()
	id := q.Get("run_id")
	if id == "" {
		id = q.Get("run_uuid")
	}
	if id == "" {
		return missing("run_id")
	}
	uri, err := c.Places.Run(r.Context(), who, id)
	if err != nil {
		return err
	}
	return c.sendBelow(w, r, who, uri, q.Get("path"))
}

func (c Config) getOfVersion(w http.ResponseWriter, r *http.Request, who mlflowapi.Caller) error {
	q := r.URL.Query()
	for _, name := range []string{"name", "version"} {
		if q.Get(name) == "" {
			return missing(name)
		}
	}
	if p := q.Get("path"); p != "" {
		if _, err := artifact.ParsePath(p); err != nil {
			return err
		}
	}
	uri, err := c.Places.Version(r.Context(), who, q.Get("name"), q.Get("version"))
	if err != nil {
		return err
	}
	return c.sendBelow(w, r, who, uri, q.Get("path"))
}

func (c Config) getOfModel(w http.ResponseWriter, r *http.Request, who mlflowapi.Caller) error {
	p := r.URL.Query().Get("artifact_file_path")
	if p == "" {
		return invalid(`Request must include the "artifact_file_path" query parameter.`)
	}
	uri, err := c.Places.LoggedModel(r.Context(), who, r.PathValue("model_id"))
	if err != nil {
		return err
	}
	return c.sendBelow(w, r, who, uri, p)
}

func missing(name string) error {
	return invalid("Missing value for required parameter '" + name + "'. See the API docs for more information about request parameters.")
}

// sendBelow sends a file in what lies at an address.
func (c Config) sendBelow(w http.ResponseWriter, r *http.Request, who mlflowapi.Caller, uri, p string) error {
	if p == "" {
		return missing("path")
	}
	p, err := artifact.ParsePath(p)
	if err == nil {
		p, err = within(uri, p)
	}
	if err != nil {
		return err
	}
	return c.send(w, r, who, p)
}

func (c Config) send(w http.ResponseWriter, r *http.Request, who mlflowapi.Caller, p string) error {
	f, b, err := c.Files.Open(r.Context(), who, p)
	if err != nil {
		return err
	}
	defer b.Close()
	return send(w, r, f, b)
}

// send answers with a file as RFC 9110 has it: whole, a range, or that it has not changed. A
// browser saves it and never shows it as a page of ours.
func send(w http.ResponseWriter, r *http.Request, f artifact.File, b artifact.Bytes) error {
	if _, err := b.Read(nil); err != nil && !errors.Is(err, io.EOF) { // one that cannot be read is told before anything is sent
		return lasting(err)
	}
	h := w.Header()
	h.Set("Content-Type", f.Type)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Disposition", attachment(path.Base(f.Path)))
	h.Set("ETag", artifact.ETag(f.Digest))
	h.Set("Cache-Control", "no-cache") // it may be replaced, and who may read it may change
	in := &told{Bytes: b}
	http.ServeContent(inPieces{w}, r, "", f.Created, in)
	if in.err != nil {
		return &mlflowapi.Answered{Err: in.err}
	}
	return nil
}

// lasting makes of the error of a file that will not be better an answer that no client takes
// for a passing one.
func lasting(err error) error {
	e := slipway.AsError(err)
	if e.Code == slipway.CodeUploadDigest {
		return slipway.Errorf(slipway.Conflict, e.Code, e.Next, "%s", e.Message)
	}
	return err
}

// told remembers an error of reading, of which ServeContent says nothing.
type told struct {
	artifact.Bytes
	err error
}

func (t *told) Read(p []byte) (int, error) {
	n, err := t.Bytes.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // readers give it bare
		t.err = err
	}
	return n, err
}

// inPieces copies in large ones.
type inPieces struct{ http.ResponseWriter }

const pieceSize = 256 << 10

var pieces = sync.Pool{New: func() any { b := make([]byte, pieceSize); return &b }}

// ReadFrom implements io.ReaderFrom.
func (o inPieces) ReadFrom(r io.Reader) (int64, error) {
	buf := pieces.Get().(*[]byte)
	defer pieces.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{o.ResponseWriter}, r, *buf)
}

// attachment is a Content-Disposition (RFC 6266) with a name for those who read ASCII alone,
// too.
func attachment(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' || r == '%' {
			return '_'
		}
		return r
	}, name)
	if plain == name {
		return mime.FormatMediaType("attachment", map[string]string{"filename": name})
	}
	return `attachment; filename="` + plain + `"; filename*=UTF-8''` + escape(name)
}

// escape percent-encodes what RFC 5987 does not let stand.
func escape(name string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(name) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!$&+-.^_`|~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteString("%" + string(hex[c>>4]) + string(hex[c&15]))
	}
	return b.String()
}
