package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/cli/screen"
	"github.com/slipway-ml/slipway/templates"
)

// projects are the templates that init writes, and what each is.
func projects() map[string]string {
	return map[string]string{
		"xgboost": "scores card transactions with XGBoost; trained already, so that it needs no Python",
		"sklearn": "tells which customers will leave, with a scikit-learn pipeline of numbers and categories",
		"python":  "finds odd meter readings with code of your own, as an MLflow pyfunc with several outputs",
		"custom":  "estimates delivery times with an HTTP server of your own, without MLflow",
	}
}

const defaultTemplate = "xgboost"

func (s *session) initCmd() *cobra.Command {
	template := defaultTemplate
	cmd := command("init [DIRECTORY]", "Write an example project, or list them", "  platform init\n  platform init fraud\n  platform init ./models/churn --template sklearn",
		cobra.MaximumNArgs(1), func(_ context.Context, args []string) error {
			if _, ok := projects()[template]; !ok {
				return misuse("platform init lists the templates", "there is no template %.60q", template)
			}
			if len(args) == 0 {
				return s.listTemplates(template)
			}
			return s.init(template, args[0])
		})
	cmd.Long = "Write an example project into a new directory: a model with its training, tests and checks,\nand the files of a CI pipeline. The directory's name becomes that of the endpoint. Without\nDIRECTORY the templates are listed."
	names := slices.Sorted(maps.Keys(projects()))
	cmd.Flags().StringVar(&template, "template", defaultTemplate, strings.Join(names[:len(names)-1], ", ")+" or "+names[len(names)-1])
	completingFlag(cmd, "template", names...)
	return cmd
}

func (s *session) listTemplates(template string) error {
	all := projects()
	if !s.p.Document(all) {
		var rows [][]screen.Text
		for _, name := range slices.Sorted(maps.Keys(all)) {
			rows = append(rows, []screen.Text{screen.Bold(name), screen.Plain(all[name])})
		}
		s.p.Table(rows)
	}
	s.p.Next("%s", initLine(template, "my-model"))
	return nil
}

func (s *session) init(template, dir string) error {
	target, err := s.emptyDir(dir, initLine(template, "ANOTHER-DIRECTORY"))
	if err != nil {
		return err
	}
	name, err := slipway.ParseName(filepath.Base(target))
	if err != nil {
		e := slipway.AsError(err)
		return slipway.Errorf(e.Kind, e.Code, e.Next+", as in: "+initLine(template, "my-model"), "the directory's name becomes the endpoint's, and %s", e.Message)
	}
	from, err := fs.Sub(templates.FS, template)
	if err != nil {
		return err
	}
	files, err := write(target, renamed{from, name})
	if err != nil {
		return &slipway.Error{Code: slipway.CodeIO, Message: "the project cannot be written: " + err.Error(), Next: "name another directory", Cause: err}
	}
	if !s.p.Document(map[string]any{"template": template, "directory": dir, "endpoint": name, "files": files}) {
		s.p.Say("%s: %d files", dir, len(files))
		for _, f := range files {
			s.p.Say("  %s", screen.Dim(f))
		}
	}
	train := ""
	if _, err := fs.Stat(from, "model"); err != nil {
		train = "pip install -r requirements.txt && python train.py && "
	}
	s.p.Next("cd %s && %splatform deploy --watch", quoted(dir), train)
	return nil
}

// initLine is the command that writes a template.
func initLine(template, dir string) string {
	if template == defaultTemplate {
		return "platform init " + dir
	}
	return "platform init " + dir + " --template " + template
}

// renamed is a template whose endpoint has another name: in the line of platform.yaml that
// gives it, whose comment stays where it is, and in README.md, where it stands in quotes.
type renamed struct {
	fs.FS
	name string
}

// ReadFile reads a file of the template with the new name in it.
func (r renamed) ReadFile(name string) ([]byte, error) {
	b, err := fs.ReadFile(r.FS, name)
	if err != nil || name != projectFile && name != "README.md" {
		return b, err
	}
	about, err := fs.ReadFile(r.FS, projectFile)
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(string(about), "\nname: ")
	line, _, _ := strings.Cut(rest, "\n")
	value, comment, _ := strings.Cut(line, "#")
	return []byte(strings.NewReplacer(
		"\nname: "+line, fmt.Sprintf("\nname: %-*s#%s", len(value), r.name+" ", comment),
		strconv.Quote(strings.TrimSpace(value)), strconv.Quote(r.name),
	).Replace(string(b))), nil
}

// write copies a template and refuses to replace a file.
func write(target string, from fs.FS) (files []string, err error) {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(target)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	err = fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if d.IsDir() {
			return root.Mkdir(name, 0o755)
		}
		b, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		_, err = f.Write(b)
		files = append(files, name)
		return errors.Join(err, f.Close())
	})
	return files, err
}

// quoted is a path as a shell takes it.
func quoted(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
