package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
)

func (s *session) keysCmd() *cobra.Command {
	cmd := group("keys", "What is stored encrypted with: look, rotate, destroy", "  platform keys list\n  platform keys rotate --space team/risk\n  platform keys shred --space team/risk --reason 'the contract has ended'")
	cmd.AddCommand(
		command("list", "List key spaces with their keys, and what is left to encrypt", "  platform keys list", cobra.NoArgs, s.listKeys),
		s.rotateCmd(),
		command("rewrap", "Wrap every data key again, with the newest version of its wrapping key", "  platform keys rewrap", cobra.NoArgs, s.rewrap),
		s.shredCmd())
	return cmd
}

func (s *session) listKeys(ctx context.Context, _ []string) error {
	return s.with(func(c *client.Client) error {
		k, err := c.Keys(ctx)
		if err != nil {
			return err
		}
		if s.p.Document(k) {
			return nil
		}
		s.p.Say("key service  %s", screen.Bold(k.Service))
		if k.Problem != "" {
			s.p.Say("%s", screen.Red(k.Problem))
		}
		var rows [][]screen.Text
		for _, space := range k.Spaces {
			for _, v := range space.Versions {
				rows = append(rows, []screen.Text{screen.Bold(space.Space), screen.Plain(fmt.Sprintf("v%d", v.Version)), screen.Plain(v.State),
					screen.Dim(v.Created.Local().Format("2006-01-02 15:04")), screen.Plain(leftOf(v))})
			}
		}
		s.p.Table(rows)
		if n := k.InClear.Blobs; n > 0 {
			s.p.Note("%d blobs of an older version, %.1f MiB, lie in clear still; they are encrypted in the background", n, float64(k.InClear.Bytes)/(1<<20))
		}
		s.p.Next("platform keys rotate --space SPACE")
		return nil
	})
}

func leftOf(v api.KeyVersion) string {
	switch {
	case v.Blocked != "":
		return v.Blocked
	case v.Left > 0:
		return fmt.Sprintf("%d values to move", v.Left)
	}
	return ""
}

func (s *session) rotateCmd() *cobra.Command {
	var r api.RotateKeys
	cmd := command("rotate", "Give a key space a new key, without a pause", "  platform keys rotate --space team/risk", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return s.with(func(c *client.Client) error {
			space, err := c.RotateKeys(ctx, r)
			if err != nil {
				return err
			}
			if !s.p.Document(space) {
				s.p.Say("%s has a new key; what older ones sealed is moved to it", screen.Bold(space.Space))
				if r.DestroyOld {
					s.p.Note("then they are destroyed: make a backup after that, and keep a copy of the local key file, which is replaced")
				}
			}
			s.p.Next("platform keys list")
			return nil
		})
	})
	cmd.Long = "Give a key space a new data key and a new wrapping key. What is stored stays readable all the\ntime: it is sealed again with the new key in the background. The old key is kept for backups that\nwere made before, unless --destroy-old is given."
	cmd.Flags().StringVar(&r.Space, "space", "", "platform, uploads, team/TEAM or team/TEAM/CLASS")
	cmd.Flags().StringVar(&r.Reason, "reason", "", "why; it is recorded")
	cmd.Flags().BoolVar(&r.DestroyOld, "destroy-old", false, "destroy the older keys when nothing here needs them; older backups do not open then")
	_ = cmd.MarkFlagRequired("space")
	return cmd
}

func (s *session) rewrap(ctx context.Context, _ []string) error {
	return s.with(func(c *client.Client) error {
		done, err := c.RewrapKeys(ctx)
		if err != nil {
			return err
		}
		if !s.p.Document(done) {
			s.p.Say("%d data keys were wrapped again", done.Keys)
		}
		s.p.Next("platform keys list")
		return nil
	})
}

func (s *session) shredCmd() *cobra.Command {
	var r api.ShredKeys
	var yes string
	cmd := command("shred", "Destroy every key of a space, for ever, and prove it", "  platform keys shred --space team/risk --reason 'the contract has ended' --yes team/risk", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		if err := needsReason(true, "shredding", r.Reason); err != nil {
			return err
		}
		if yes != r.Space {
			return slipway.Errorf(slipway.Invalid, slipway.CodeInvalid, "add --yes "+r.Space, "nobody, and no backup, can read %.140q again", r.Space)
		}
		return s.with(func(c *client.Client) error {
			done, err := c.ShredKeys(ctx, r)
			if err != nil {
				return err
			}
			if !s.p.Document(done) {
				s.p.Say("%s is shredded: %d keys destroyed, %d files and secrets removed", screen.Bold(done.Space), done.Keys, done.Objects)
				for _, line := range done.Proof {
					s.p.Say("  proved: %s", line)
				}
				for _, line := range done.Remains {
					s.p.Note("%s", line)
				}
			}
			s.p.Next("platform keys list")
			return nil
		})
	})
	cmd.Long = "Destroy every key of a space in the key service. What was sealed with them opens never again,\nfrom a backup neither; that is tried, with a copy that was made before, and recorded."
	cmd.Flags().StringVar(&r.Space, "space", "", "team/TEAM or team/TEAM/CLASS")
	cmd.Flags().StringVar(&r.Reason, "reason", "", "why; it is recorded")
	cmd.Flags().BoolVar(&r.Force, "force", false, "although something that serves was made of it")
	cmd.Flags().StringVar(&yes, "yes", "", "the space again: it cannot be undone")
	_ = cmd.MarkFlagRequired("space")
	return cmd
}
