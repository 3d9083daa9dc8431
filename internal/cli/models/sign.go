package models

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
	"github.com/slipway-ml/slipway/internal/disk"
	"github.com/slipway-ml/slipway/internal/modeldir"
	"github.com/slipway-ml/slipway/internal/signing"
)

func (s Session) sign(ctx context.Context, args []string) error {
	return s.with(func(c *client.Client) error {
		out, err := c.SignVersion(ctx, args[0], args[1])
		if err != nil || s.P.Document(out) {
			return err
		}
		s.P.Say("%s: %s", screen.Bold(fmt.Sprintf("%s:%d", out.Model, out.Version)), verdictOf(out))
		s.P.Next("platform models verify %s %d", out.Model, out.Version)
		return nil
	})
}

const aboutVerify = `A signature is an OpenSSF model signature (a sigstore bundle), which other tools verify, too.

With --save DIR the bundle and the public key are written to files. A directory is verified
against such files without a server, whoever has signed it:

  platform models verify --dir MODEL_DIR --bundle model.sig --key signing.pub`

func (s Session) verifyCmd() *cobra.Command {
	var save, dir, bundle, key string
	cmd := command("verify [MODEL VERSION]", "Say whether a version's signature holds, or that of a directory without a server", "  platform models verify fraud 7\n  platform models verify fraud 7 --save .\n  platform models verify --dir model --bundle fraud-7.sig --key signing.pub", cobra.MaximumNArgs(2),
		func(ctx context.Context, args []string) error {
			switch {
			case dir != "" && len(args) == 0:
				return s.verifyDir(ctx, dir, bundle, key)
			case dir != "" || bundle != "" || key != "" || len(args) == 0:
				return misuse("give MODEL VERSION, or --dir with --bundle and --key", "there is nothing to verify")
			}
			return s.with(func(c *client.Client) error { return s.verifyVersion(ctx, c, args, save) })
		})
	cmd.Long = cmd.Short + ".\n\n" + aboutVerify
	cmd.Flags().StringVar(&save, "save", "", "write the bundle and the public key into this directory")
	cmd.Flags().StringVar(&dir, "dir", "", "verify this directory, without a server")
	cmd.Flags().StringVar(&bundle, "bundle", "", "the signature of the directory")
	cmd.Flags().StringVar(&key, "key", "", "the public key that it was made with")
	return cmd
}

func (s Session) verifyVersion(ctx context.Context, c *client.Client, args []string, save string) error {
	out, err := c.Signatures(ctx, args[0], ref(args))
	if err != nil {
		return err
	}
	written := []string{}
	if save != "" && out.State == "valid" {
		if written, err = s.saveSignature(ctx, c, out, save); err != nil {
			return err
		}
	}
	doc := struct {
		api.Signatures
		Written []string `json:"written,omitempty"`
	}{out, written}
	if !s.P.Document(doc) {
		s.P.Say("%s: %s", screen.Bold(fmt.Sprintf("%s:%d", out.Model, out.Version)), verdictOf(out))
		for _, sig := range out.List {
			problem := screen.Green("holds")
			if !sig.Valid {
				problem = screen.Red(sig.Problem)
			}
			s.P.Say("  %s by %s, key %.16s…: %s", when(sig.Created), sig.By, sig.Key, problem)
		}
		for _, name := range written {
			s.P.Say("wrote %s", name)
		}
	}
	switch out.State {
	case "valid":
		if len(written) == 2 {
			s.P.Next("platform models verify --dir DIR --bundle %s --key %s", written[0], written[1])
		} else {
			s.P.Next("platform models verify %s %d --save .", out.Model, out.Version)
		}
		return nil
	case "missing":
		return slipway.Errorf(slipway.Unprocessable, slipway.CodeUnsigned, fmt.Sprintf("platform models sign %s %d", out.Model, out.Version), "%s:%d was never signed", out.Model, out.Version)
	}
	return slipway.Errorf(slipway.Unprocessable, slipway.CodeSignature, "platform explain "+slipway.CodeSignature, "the signature of %s:%d does not hold: %s", out.Model, out.Version, out.Message)
}

// saveSignature writes the newest signature that holds, and the key that verifies it.
func (s Session) saveSignature(ctx context.Context, c *client.Client, out api.Signatures, dir string) ([]string, error) {
	i := slices.IndexFunc(out.List, func(sig api.Signature) bool { return sig.Valid })
	keys, err := c.SigningKeys(ctx)
	if err != nil {
		return nil, err
	}
	k := slices.IndexFunc(keys, func(k api.SigningKey) bool { return i >= 0 && k.ID == out.List[i].Key })
	if i < 0 || k < 0 {
		return nil, slipway.Errorf(slipway.NotFound, slipway.CodeNotFound, "platform models keys", "the key of the signature is not listed")
	}
	names := []string{filepath.Join(dir, fmt.Sprintf("%s-%d.sig", out.Model, out.Version)), filepath.Join(dir, "signing.pub")}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, &slipway.Error{Code: slipway.CodeIO, Kind: slipway.Invalid, Message: dir + " cannot be made", Next: "choose another directory with --save", Cause: err}
	}
	for n, content := range [][]byte{signing.Indent([]byte(out.List[i].Bundle)), []byte(keys[k].Public)} {
		if err := disk.Replace(names[n], content, false); err != nil {
			return nil, &slipway.Error{Code: slipway.CodeIO, Kind: slipway.Invalid, Message: names[n] + " cannot be written", Next: "choose another directory with --save", Cause: err}
		}
	}
	return names, nil
}

// downloaded is what MLflow's clients note beside a version of a registered model that they
// have fetched (mlflow/store/artifact/models_artifact_repo.py).
const downloaded = "registered_model_meta"

// verifyDir verifies a directory against files.
func (s Session) verifyDir(ctx context.Context, dir, bundle, key string) error {
	if bundle == "" || key == "" {
		return misuse("add --bundle FILE --key FILE", "the signature and the public key are needed")
	}
	sig, err := read(bundle, signing.MaxBundle)
	if err != nil {
		return err
	}
	pem, err := read(key, 16<<10)
	if err != nil {
		return err
	}
	public, err := signing.ParsePublic(pem)
	if err != nil {
		return err
	}
	st, err := signing.Verify(sig, public)
	if err != nil {
		return err
	}
	m, err := modeldir.Scan(ctx, dir, func(done, total int64) { s.P.Progress("hashing %s of %s", screen.Size(done), screen.Size(total)) })
	s.P.Clear()
	if err != nil {
		return err
	}
	var files []signing.File
	own, _ := filepath.Abs(bundle) // fails only without a working directory, which Scan would have told
	root, _ := filepath.Abs(dir)
	added := false
	for _, f := range m.Files {
		switch {
		case filepath.Join(root, filepath.FromSlash(f.Path)) == own:
		case f.Path == downloaded && !slices.ContainsFunc(st.Files, func(s signing.File) bool { return s.Path == downloaded }):
			added = true
		default:
			files = append(files, signing.File{Path: f.Path, Digest: f.Digest})
		}
	}
	if err := st.Match(files, true); err != nil {
		return err
	}
	if !s.P.Document(map[string]any{"model": st.Name, "files": len(st.Files), "valid": true}) {
		s.P.Say("%s: the %d files of %s are those that were signed", screen.Green("valid"), len(st.Files), st.Name)
		if added {
			s.P.Note("%s is not signed: MLflow's clients write it beside what they have downloaded", downloaded)
		}
	}
	s.P.Next("platform deploy")
	return nil
}

// read reads a file of at most limit bytes.
func read(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, misuse("check its name and permissions", "%s cannot be read", name)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil || int64(len(b)) > limit {
		return nil, misuse("check that it is the right file", "%s cannot be read, or is larger than %d bytes", name, limit)
	}
	return b, nil
}

func (s Session) keysCmd() *cobra.Command {
	var rotate bool
	cmd := command("keys", "List the public keys that verify signatures, or sign with a new one", "  platform models keys\n  platform models keys --rotate", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return s.with(func(c *client.Client) error {
			if rotate {
				k, err := c.RotateSigningKey(ctx)
				if err != nil || s.P.Document(k) {
					return err
				}
				s.P.Say("%s signs from now on; what the keys before have signed stays good", screen.Bold(k.ID))
				s.P.Next("platform models keys")
				return nil
			}
			all, err := c.SigningKeys(ctx)
			if err != nil || s.P.Document(append([]api.SigningKey{}, all...)) {
				return err
			}
			for _, k := range all {
				state := screen.Green("signs, since " + when(k.Created))
				if !k.Retired.IsZero() {
					state = screen.Dim("signed from " + when(k.Created) + " to " + when(k.Retired))
				}
				s.P.Say("%s  %s\n%s", screen.Bold(k.ID), state, k.Public)
			}
			if len(all) == 0 {
				s.P.Say("there is none yet: the first version that is registered makes one")
			}
			s.P.Next("platform models verify MODEL VERSION --save .")
			return nil
		})
	})
	cmd.Flags().BoolVar(&rotate, "rotate", false, "sign with a new key from now on")
	return cmd
}
