package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// completeLimit bounds how long a shell waits for names.
const completeLimit = 2 * time.Second

// Kinds of names that a shell completes.
const (
	endpoints   = 1 << iota
	deployments // their ids
	revisions
)

// completing lets a shell complete the arguments of a command from what the server has.
// Without an answer there are none: a shell shows no errors.
func (s *session) completing(cmd *cobra.Command, most, kinds int) *cobra.Command {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completeLimit)
		defer cancel()
		names := slices.DeleteFunc(s.names(ctx, kinds), func(n string) bool { return !strings.HasPrefix(n, prefix) })
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

// names lists what the server has, each with what it is.
func (s *session) names(ctx context.Context, kinds int) (out []string) {
	c, err := s.client()
	if err != nil {
		return nil
	}
	es, err := c.Endpoints(ctx)
	if err != nil {
		return nil
	}
	for _, e := range es {
		if kinds&endpoints != 0 {
			out = append(out, e.Name+"\t"+e.State)
		}
	}
	if kinds&(deployments|revisions) == 0 {
		return out
	}
	ds, err := c.Deployments(ctx, "", 0, 50)
	if err != nil {
		return out
	}
	for _, d := range ds {
		if kinds&revisions != 0 && d.Revision != "" {
			out = append(out, d.Revision+"\t"+d.Status)
		}
		if kinds&deployments != 0 {
			out = append(out, d.ID+"\t"+d.Endpoint+" "+d.Status)
		}
	}
	return out
}

// completingFlag lets a shell complete the value of a flag.
func completingFlag(cmd *cobra.Command, flag string, values ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the command has no such flag: found by any test
	}
}
