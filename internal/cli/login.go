package cli

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
	"github.com/slipway-ml/slipway/internal/config"
)

// signInFlags are those of a server that say how people sign in.
func signInFlags(cmd *cobra.Command, c *config.Config) {
	f := cmd.Flags()
	f.BoolVar(&c.Production, "production", false, "refuse what is for development, also on the loopback: behind a proxy that ends TLS")
	f.StringVar(&c.Public, "public-url", "", "the address by which people know the platform, https://HOST")
	f.StringVar(&c.OIDC.Issuer, "oidc-issuer", "", "people sign in at this identity provider, with OpenID Connect")
	f.StringVar(&c.OIDC.ClientID, "oidc-client-id", "", "what the platform is called there; it sends people back to PUBLIC-URL/sso/callback")
	f.StringVar(&c.OIDC.SecretFile, "oidc-client-secret-file", "", "a file with the secret that the platform has there")
	f.StringVar(&c.OIDC.Groups, "oidc-groups-claim", "groups", "the claim with the groups of a person")
	f.StringArrayVar(&c.OIDC.MFA, "oidc-mfa", nil, "a value of amr or acr that stands for a second factor; may be given again (default: the usual ones)")
}

// serverAddress is the server to sign in to.
func (s *session) serverAddress() (string, error) {
	server := cmp.Or(s.server, s.env.Getenv("SLIPWAY_SERVER"))
	if server == "" {
		home, err := s.homeDir()
		if err != nil {
			return "", err
		}
		address, _ := small(home.Address()) // none runs here
		server = cmp.Or(address, s.lastServer())
	}
	if server == "" {
		return "", misuse("platform login --server https://HOST", "name the server to sign in to")
	}
	return plainServer(server), nil
}

func (s *session) loginCmd() *cobra.Command {
	cmd := command("login", "Sign in to a server, with a browser", "  platform login --server https://slipway.example.com", cobra.NoArgs, func(ctx context.Context, _ []string) error { return s.login(ctx) })
	cmd.Long = "Sign in to a server: open the page that is shown, on any device, and confirm the code. The sign-in\nis kept for you alone in ~/.config/slipway, and is good for a day. Within ten minutes of it you may\ndo what asks for a second factor."
	return cmd
}

func (s *session) login(ctx context.Context) error {
	server, err := s.serverAddress()
	if err != nil {
		return err
	}
	c, err := s.clientOf(server, "", s.env.HTTPClient)
	if err != nil {
		return err
	}
	codes, err := c.StartDevice(ctx)
	if err != nil {
		return err
	}
	if !s.p.Line(map[string]any{"verification_uri": codes.VerificationURI, "user_code": codes.UserCode, "expires_in": codes.ExpiresIn}) {
		s.p.Note("Open %s and type the code", screen.Bold(codes.VerificationURI))
		s.p.Note("")
		s.p.Note("    %s", screen.Bold(codes.UserCode))
		s.p.Note("")
		s.p.Note("or open %s and compare it.", codes.VerificationURIComplete)
	}
	g, err := s.awaitGrant(ctx, c, codes)
	if err != nil {
		return err
	}
	err = s.changeCredentials(func(c *credentials) error {
		c.Last, c.Servers[server] = server, g
		return nil
	})
	if err != nil {
		return err
	}
	if !s.p.Line(map[string]any{"account": g.Account, "server": server, "until": g.RefreshEndsAt}) {
		s.p.Say("signed in to %s as %s until %s", server, screen.Bold(g.Account), g.RefreshEndsAt.Local().Format("2006-01-02 15:04"))
	}
	s.p.Next("platform whoami")
	return nil
}

// awaitGrant asks as often as it was told to, until the person has decided.
func (s *session) awaitGrant(ctx context.Context, c *client.Client, codes api.DeviceCodes) (api.Grant, error) {
	pause := time.Duration(min(max(codes.Interval, 1), 60)) * time.Second
	for {
		s.p.Progress("waiting for you to confirm the code in the browser")
		select {
		case <-ctx.Done():
			return api.Grant{}, ctx.Err()
		case <-time.After(pause):
		}
		g, err := c.FetchGrant(ctx, codes.DeviceCode)
		switch e := slipway.AsError(err); {
		case err == nil:
			return g, nil
		case e.Code == slipway.CodeSlowDown:
			pause += 5 * time.Second // RFC 8628, section 3.5
		case e.Code != slipway.CodePending && e.Kind != slipway.Unavailable:
			return api.Grant{}, err
		}
	}
}

func (s *session) logoutCmd() *cobra.Command {
	return command("logout", "End the sign-in of this command line", "  platform logout", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		server, err := s.serverAddress()
		if err != nil {
			return err
		}
		var unreached error
		known := false
		err = s.changeCredentials(func(c *credentials) error {
			g, ok := c.Servers[server]
			if known = ok; !ok {
				return nil
			}
			delete(c.Servers, server)
			if c.Last == server {
				c.Last = ""
			}
			to, err := s.clientOf(server, "", s.env.HTTPClient)
			if err == nil {
				err = to.EndGrant(ctx, g.RefreshToken)
			}
			unreached = err
			return nil
		})
		switch {
		case err != nil:
			return err
		case !known:
			return slipway.Errorf(slipway.NotFound, slipway.CodeNotLoggedIn, "platform login --server "+server, "nobody is signed in to %s", server)
		case unreached != nil:
			return slipway.Errorf(slipway.Unavailable, slipway.CodeNoServer, "end it there once it answers: platform sessions and platform tokens list", "it is forgotten here, but %s could not be told: %s", server, slipway.AsError(unreached).Message)
		}
		if !s.p.Document(map[string]any{"server": server, "signed_out": true}) {
			s.p.Say("signed out of %s", server)
		}
		s.p.Next("platform login --server %s", server)
		return nil
	})
}

// identityDocument is who one is, and where.
type identityDocument struct {
	api.Who
	Server api.Info `json:"server"`
}

func (s *session) whoamiCmd() *cobra.Command {
	return command("whoami", "Show who you are to the server, and what it is", "  platform whoami\n  platform whoami --json", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return s.with(func(c *client.Client) error {
			who, err := c.WhoAmI(ctx)
			if err != nil {
				return err
			}
			info, err := c.Info(ctx)
			if err != nil || s.p.Document(identityDocument{who, info}) {
				return err
			}
			s.p.Say("%s  %s", screen.Bold(who.Account), screen.Plain(rolesOf(api.Account{Roles: who.Roles})))
			rows := [][]screen.Text{{screen.Dim("  server"), screen.Plain(info.URL)}}
			if info.Development {
				rows = append(rows, []screen.Text{screen.Dim("  "), screen.Yellow("development: not for production")})
			}
			if !who.MFA.IsZero() {
				rows = append(rows, []screen.Text{screen.Dim("  second factor"), screen.Plain(who.MFA.Local().Format("2006-01-02 15:04"))})
			}
			if who.BreakGlass != "" {
				rows = append(rows, []screen.Text{screen.Dim("  emergency"), screen.Red(who.BreakGlass)})
			}
			s.p.Table(rows)
			s.p.Next("platform access explain %s endpoint:deploy endpoint/NAME", who.Account)
			return nil
		})
	})
}

func (s *session) inviteCmd() *cobra.Command {
	var lifetime string
	cmd := command("invite NAME", "Let a person set a password and a second factor; makes the account if there is none", "  platform accounts invite ada", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			d, err := parseAge(lifetime)
			if err != nil {
				return err
			}
			return s.with(func(c *client.Client) error {
				r := api.Invite{LifetimeSeconds: int64(d / time.Second)}
				inv, err := c.Invite(ctx, args[0], r)
				if slipway.AsError(err).Code == slipway.CodeNotFound && err != nil {
					if _, err = c.CreateAccount(ctx, api.CreateAccount{Name: args[0], Kind: slipway.Person}); err == nil {
						inv, err = c.Invite(ctx, args[0], r)
					}
				}
				if err != nil || s.p.Document(inv) {
					return err
				}
				s.p.Say("%s", inv.URL)
				s.p.Note("good once, until %s; give it to %s in a way that nobody else sees", inv.Expires.Local().Format("2006-01-02 15:04"), inv.Account)
				s.p.Next("platform accounts list %s", inv.Account)
				return nil
			})
		})
	cmd.Flags().StringVar(&lifetime, "lifetime", "1d", "how long it is good, at most 7d")
	return cmd
}

func (s *session) sessionsCmd() *cobra.Command {
	cmd := group("sessions", "Browsers that are signed in", "  platform sessions list\n  platform sessions end ses_018f…")
	var r api.EndSession
	end := command("end SESSION", "Sign a browser out, at once", "  platform sessions end ses_018f… --reason 'the laptop was stolen'", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		return s.with(func(c *client.Client) error {
			x, err := c.EndSession(ctx, args[0], r)
			if err != nil || s.p.Document(x) {
				return err
			}
			s.p.Say("%s of %s has ended", x.ID, screen.Bold(x.Account))
			s.p.Next("platform sessions list %s", x.Account)
			return nil
		})
	})
	end.Flags().StringVar(&r.Reason, "reason", "", "why; it is recorded")
	cmd.AddCommand(end, command("list [ACCOUNT]", "List browsers that are signed in", "  platform sessions list\n  platform sessions list ada", cobra.MaximumNArgs(1), func(ctx context.Context, args []string) error {
		return s.with(func(c *client.Client) error {
			all, err := c.Sessions(ctx, strings.Join(args, ""))
			if err != nil || s.p.Document(all) {
				return err
			}
			var rows [][]screen.Text
			for _, x := range all {
				rows = append(rows, []screen.Text{screen.Plain(x.ID), screen.Bold(x.Account), screen.Plain(x.Agent), screen.Dim(x.Method),
					screen.Dim("used " + x.Used.Local().Format("2006-01-02 15:04")), screen.Dim("until " + x.Ends.Local().Format("2006-01-02 15:04"))})
			}
			s.p.Table(rows)
			s.p.Next("platform sessions end SESSION")
			return nil
		})
	}))
	return cmd
}
