package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

// maxData bounds the data of one prediction, in bytes.
const maxData = 64 << 20

func (s *session) predictCmd() *cobra.Command {
	var data, format, id string
	cmd := command("predict [ENDPOINT]", "Ask a model for a prediction",
		"  platform predict fraud\n  platform predict fraud -d '{\"amount\": 12.5, \"hour\": 3}'\n  platform predict fraud -d @rows.json --format infer",
		cobra.MaximumNArgs(1), func(ctx context.Context, args []string) error {
			if id != "" {
				ctx = slipway.WithRequest(ctx, id)
			}
			return s.predict(ctx, args, data, format)
		})
	cmd.Long = "Ask a model for a prediction. The data are a row (an object), a list of rows, or a whole\nrequest of the Open Inference Protocol or of MLflow. Without data the first golden record\nof the project in this directory is sent; without ENDPOINT it goes to that project's."
	cmd.Flags().StringVarP(&data, "data", "d", "", "JSON, @FILE, or - for standard input")
	cmd.Flags().StringVar(&format, "format", "", "infer (Open Inference) or invocations (MLflow); rows go as invocations unless told otherwise")
	cmd.Flags().StringVar(&id, "request-id", "", "the id by which platform trace finds the answer again")
	return cmd
}

func (s *session) predict(ctx context.Context, args []string, data, format string) error {
	if format != "" && format != infer && format != invocations {
		return misuse("give --format infer or --format invocations", "%.60q is no format", format)
	}
	key, err := s.endpoint(args)
	if err != nil {
		return err
	}
	raw, err := s.data(data)
	if err != nil {
		return err
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	in, err := readInput(raw)
	if err != nil {
		return err
	}
	format, body, err := in.request(format, func() (client.Metadata, error) { return c.Metadata(ctx, key) })
	if err != nil {
		return err
	}
	start := s.env.Now()
	ask := c.Invocations
	if format == infer {
		ask = c.Infer
	}
	out, err := ask(ctx, key, body)
	if err != nil {
		return err
	}
	if took := s.env.Now().Sub(start); s.p.JSON {
		s.p.Raw(strings.TrimSpace(string(out)) + "\n")
	} else {
		s.p.Say("%s", strings.TrimSpace(string(out)))
		s.p.Note("%s", screen.Dim(key+" answered in "+screen.Duration(took)))
	}
	if id := slipway.RequestOf(ctx); id != "" {
		s.p.Next("platform trace %s", id)
		return nil
	}
	s.p.Next("platform status %s", key)
	return nil
}

// data gives the bytes that the flag names.
func (s *session) data(flag string) ([]byte, error) {
	var r io.Reader
	switch {
	case flag == "":
		return s.firstGolden()
	case flag == "-":
		r = s.env.Stdin
	case strings.HasPrefix(flag, "@"):
		name := flag[1:]
		full := name
		if !filepath.IsAbs(name) {
			full = filepath.Join(s.env.Dir, name)
		}
		f, err := os.Open(full)
		if err != nil {
			return nil, unreadable(name, err, "name a file of JSON: -d @FILE")
		}
		defer f.Close()
		r = f
	default:
		return []byte(flag), nil
	}
	b, err := io.ReadAll(io.LimitReader(r, maxData+1))
	switch {
	case err != nil:
		return nil, unreadable("the data", err, "name a file of JSON: -d @FILE")
	case len(b) > maxData:
		return nil, slipway.Errorf(slipway.Invalid, slipway.CodeTooLarge, "send fewer rows at once", "the data are larger than %d MiB", maxData>>20)
	}
	return b, nil
}

// firstGolden is the first record of the project's golden file.
func (s *session) firstGolden() ([]byte, error) {
	const next = "give data: platform predict ENDPOINT -d '{\"column\": value}'"
	p, err := s.project(projectFile)
	var e *slipway.Error
	if errors.As(err, &e) && e.Code == slipway.CodeIO {
		return nil, misuse(next, "there are no data, and no %s here with golden records", projectFile)
	}
	if err != nil {
		return nil, err
	}
	if p.spec.Validation.Golden == nil {
		return nil, misuse(next, "there are no data, and %s has no golden records", projectFile)
	}
	name := p.spec.Validation.Golden.File
	f, err := os.Open(p.path(name))
	if err != nil {
		return nil, unreadable(name, err, next)
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, maxData)).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, unreadable(name, err, next)
	}
	if len(bytes.TrimSpace(line)) == 0 {
		return nil, misuse(next, "%s begins with an empty line", name)
	}
	s.p.Note("%s", screen.Dim(fmt.Sprintf("sending the first record of %s", name)))
	return line, nil
}
