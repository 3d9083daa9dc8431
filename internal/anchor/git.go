package anchor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/slipway-ml/slipway/internal/audit"
)

// repository is a branch of a git repository elsewhere, to which each checkpoint is a
// commit. Pushes are never forced: a branch that was rewritten takes none.
type repository struct {
	url    string
	branch string
	dir    string // a bare repository of our own, from which is pushed

	mu sync.Mutex
}

// Name implements Anchor.
func (r *repository) Name() string { return "the branch " + r.branch + " of " + r.url }

// path is the file of a log in the branch.
func path(log string) string { return log + ".checkpoint" }

const fetched = "refs/slipway/there"

// Put implements Anchor.
func (r *repository) Put(ctx context.Context, c audit.Checkpoint, key string, _ func(from uint64) ([][]byte, error)) error {
	public, err := audit.ParsePublic(key)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	there, parent, err := r.there(ctx, public.Name())
	if err != nil || there == string(c.Text) {
		return err
	}
	blob, err := r.git(ctx, c.Text, "hash-object", "-w", "--stdin")
	if err != nil {
		return err
	}
	others := ""
	if parent != "" { // other logs may be in the same branch
		if others, err = r.git(ctx, nil, "ls-tree", parent); err != nil {
			return err
		}
	}
	var entries strings.Builder
	for line := range strings.SplitSeq(others, "\n") {
		if line != "" && !strings.HasSuffix(line, "\t"+path(public.Name())) {
			entries.WriteString(line + "\n")
		}
	}
	fmt.Fprintf(&entries, "100644 blob %s\t%s\n", blob, path(public.Name()))
	tree, err := r.git(ctx, []byte(entries.String()), "mktree")
	if err != nil {
		return err
	}
	args := []string{"commit-tree", tree, "-m", fmt.Sprintf("%s: %d events", public.Name(), c.Size)}
	if parent != "" {
		args = append(args, "-p", parent)
	}
	commit, err := r.git(ctx, nil, args...)
	if err != nil {
		return err
	}
	_, err = r.git(ctx, nil, "push", "--quiet", r.url, commit+":refs/heads/"+r.branch)
	return err
}

// Last implements Anchor.
func (r *repository) Last(ctx context.Context, log string) (audit.Anchored, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := audit.Anchored{Anchor: r.Name()}
	text, commit, err := r.there(ctx, log)
	if text != "" {
		out.Checkpoint, out.Place = text, "commit "+commit
	}
	return out, err
}

// there gives the checkpoint of a log that is in the branch, and the branch's commit.
func (r *repository) there(ctx context.Context, log string) (text, commit string, err error) {
	if _, err := os.Stat(r.dir); errors.Is(err, fs.ErrNotExist) {
		if _, err := r.git(ctx, nil, "init", "--quiet", "--bare", r.dir); err != nil {
			return "", "", err
		}
	}
	refs, err := r.git(ctx, nil, "ls-remote", r.url, "refs/heads/"+r.branch)
	if err != nil || refs == "" {
		return "", "", err
	}
	if _, err := r.git(ctx, nil, "fetch", "--quiet", "--no-tags", "--depth=1", r.url, "+refs/heads/"+r.branch+":"+fetched); err != nil {
		return "", "", err
	}
	if commit, err = r.git(ctx, nil, "rev-parse", fetched); err != nil {
		return "", "", err
	}
	entry, err := r.git(ctx, nil, "ls-tree", commit, path(log))
	if err != nil || entry == "" {
		return "", commit, err
	}
	text, err = r.git(ctx, nil, "cat-file", "blob", commit+":"+path(log))
	if len(text) > maxText {
		return "", commit, unusable(r.Name(), "what is in the repository is no checkpoint", nil)
	}
	return text + "\n", commit, err
}

// git runs the program, without asking anybody for anything.
func (r *repository) git(ctx context.Context, in []byte, args ...string) (string, error) {
	if args[0] != "init" {
		args = append([]string{"--git-dir", r.dir}, args...)
	}
	cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "credential.interactive=false", "-c", "user.name=Slipway", "-c", "user.email=slipway@example.invalid", "-c", "gc.auto=0"}, args...)...)
	cmd.Env = append(cmd.Environ(), "GIT_TERMINAL_PROMPT=0", "GIT_SSH_COMMAND=ssh -o BatchMode=yes")
	cmd.Stdin, cmd.WaitDelay = bytes.NewReader(in), time.Second
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		what := "git cannot reach " + r.url
		if errors.Is(err, exec.ErrNotFound) {
			what = "the program git is not installed"
		} else if strings.Contains(said.String(), "rejected") {
			what = r.url + " refuses the checkpoint: somebody else has changed the branch"
		}
		return "", unusable(r.Name(), what, fmt.Errorf("%w: %.500s", err, said.String()))
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}
