package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/internal/cli/screen"
	"github.com/slipway-ml/slipway/templates"
)

// projects are the templates that init writes, and what each is.
func projects() map[string]string {
	return map[string]string{"fraud": "scores card transactions with XGBoost; data, training and checks included"}
}

func (s *session) initCmd() *cobra.Command {
	return command("init [TEMPLATE] [DIRECTORY]", "Write an example project, or list them", "  platform init\n  platform init fraud\n  platform init fraud ./my-model",
		cobra.MaximumNArgs(2), func(_ context.Context, args []string) error {
			switch len(args) {
			case 0:
				return s.listTemplates()
			case 1:
				return s.init(args[0], args[0])
			default:
				return s.init(args[0], args[1])
			}
		})
}

func (s *session) listTemplates() error {
	if !s.p.Document(projects()) {
		var rows [][]screen.Text
		for name, text := range projects() {
			rows = append(rows, []screen.Text{screen.Bold(name), screen.Plain(text)})
		}
		s.p.Table(rows)
	}
	s.p.Next("platform init fraud")
	return nil
}

func (s *session) init(template, dir string) error {
	if _, ok := projects()[template]; !ok {
		return slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform init lists the templates", "there is no template %.60q", template)
	}
	target, err := s.emptyDir(dir, "platform init "+template+" ANOTHER-DIRECTORY")
	if err != nil {
		return err
	}
	from, err := fs.Sub(templates.FS, template)
	if err != nil {
		return err
	}
	files, err := write(target, from)
	if err != nil {
		return &slipway.Error{Code: slipway.CodeIO, Message: "the project cannot be written: " + err.Error(), Next: "name another directory", Cause: err}
	}
	if !s.p.Document(map[string]any{"template": template, "directory": dir, "files": files}) {
		s.p.Say("%s: %d files", dir, len(files))
		for _, f := range files {
			s.p.Say("  %s", screen.Dim(f))
		}
	}
	s.p.Next("cd %s && platform deploy --watch", quoted(dir))
	return nil
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
