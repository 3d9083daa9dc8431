package cli

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway/internal/config"
)

// keyFlags are those that say where keys are.
func keyFlags(cmd *cobra.Command, c *config.Config, phrase *string) {
	cmd.Flags().StringVar(&c.KeyService, "kms", config.LocalKeys, "what wraps the keys of what is stored: local, vault://HOST:8200/MOUNT or aws-kms://REGION")
	cmd.Flags().StringVar(&c.KeyFile, "key-file", "", "the file with the root key of the local keyset, made if missing (default root.key in the home)")
	cmd.Flags().StringVar(phrase, "key-passphrase-file", "", "a file, or /dev/fd/N, with the passphrase that seals that file")
	cmd.Flags().StringVar(&c.VaultToken, "vault-token-file", "", "a file with the token for Vault, which others may renew")
	cmd.Flags().StringSliceVar(&c.SecretsFrom, "secrets-from", nil, "places of secrets beside the platform's own: vault://HOST:8200/MOUNT, aws-sm://REGION")
}

// keyService resolves the flags. A passphrase on the command line would be seen by everybody
// on the machine.
func (s *session) keyService(c *config.Config, phrase string) (err error) {
	if c.KeyService != config.LocalKeys && (c.KeyFile != "" || phrase != "") {
		return misuse("platform up --kms local", "--key-file and --key-passphrase-file are for the local key service")
	}
	if c.KeyFile != "" {
		if c.KeyFile, err = filepath.Abs(c.KeyFile); err != nil {
			return err
		}
	}
	if phrase == "" {
		return nil
	}
	text, err := small(phrase)
	if err != nil {
		return unreadable(phrase, err, "name a file with one line, the passphrase")
	}
	c.Passphrase = []byte(text)
	return nil
}
