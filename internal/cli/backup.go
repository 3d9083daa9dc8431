package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/slipway-ml/slipway"
	"github.com/slipway-ml/slipway/api"
	"github.com/slipway-ml/slipway/client"
	"github.com/slipway-ml/slipway/internal/cli/screen"
	"github.com/slipway-ml/slipway/internal/config"
)

// Restore says which backup is read, or brought back, and where to.
type Restore struct {
	Config     config.Config
	Target, ID string
	Key        []byte // the recovery key's file
	Passphrase string
	// RootPassphrase opens the root key of the key service.
	RootPassphrase string
	Progress       func(done, total int64)
}

// Restored is what was found in a backup.
type Restored struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Build   string    `json:"build"`
	Target  string    `json:"target"`
	Home    string    `json:"home,omitempty"`
	Files   int       `json:"files"`
	Parts   int       `json:"parts"`
	Bytes   int64     `json:"bytes"`
	Events  int64     `json:"events"`
	Blobs   int       `json:"blobs,omitempty"`
	Missing int       `json:"missing,omitempty"`
	Bad     []string  `json:"bad,omitempty"`
	RootKey bool      `json:"root_key,omitempty"` // the backup has one
	TookMS  int64     `json:"took_ms"`
}

const (
	keyHelp     = "the recovery key, as platform backup key wrote it"
	phraseHelp  = "a file with the passphrase of the recovery key, if it has one"
	targetsHelp = "A target is a directory, or s3://BUCKET/PREFIX?endpoint=https://HOST&region=REGION. The credentials\nof a bucket are SLIPWAY_BACKUP_ACCESS_KEY_ID and SLIPWAY_BACKUP_SECRET_ACCESS_KEY, or those of AWS."
)

func (s *session) backupCmd() *cobra.Command {
	cmd := group("backup", "Make backups, check them, and bring one back", "  platform backup key recovery.key\n  platform backup create /mnt/backup\n  platform backup verify /mnt/backup --key recovery.key\n  platform backup restore /mnt/backup --key recovery.key --home ./restored")
	cmd.Long = "Make backups, check them, and bring one back.\n\nA backup has the state, the artifacts, the images and the audit log, of one moment, and is made while\neverything goes on. It is sealed for a recovery key that the server does not have: keep that\nelsewhere. What is in the target already is not copied again.\n\n" + targetsHelp
	cmd.AddCommand(s.backupKeyCmd(), s.createBackupCmd(), s.listBackupsCmd(), s.verifyCmd(), s.restoreCmd())
	return cmd
}

func (s *session) backupKeyCmd() *cobra.Command {
	var phrase string
	var replace bool
	cmd := command("key FILE", "Make the key that reads backups", "  platform backup key recovery.key", cobra.ExactArgs(1), func(_ context.Context, args []string) error {
		home, err := s.homeDir()
		if err != nil {
			return err
		}
		pass, err := passphrase(phrase)
		if err != nil {
			return err
		}
		if _, err := os.Lstat(home.BackupSeal()); err == nil && !replace {
			return slipway.Errorf(slipway.Conflict, slipway.CodeBackupKey, "use the one that there is; or give --replace, and keep the old one for the old backups", "%s has a key already", home.Home)
		}
		recovery, seal, id, err := s.env.BackupKey(pass)
		if err != nil {
			return err
		}
		// The recovery key first: nothing is sealed for a key that nobody has.
		if err := writeNew(args[0], recovery); err != nil {
			return unreadable(args[0], err, "name a file that is not there yet")
		}
		if err := os.MkdirAll(filepath.Dir(home.BackupSeal()), 0o700); err != nil {
			return unreadable(home.Home, err, "check its permissions")
		}
		draft := home.BackupSeal() + ".new"
		_ = os.Remove(draft) // of a command that was broken off
		err = writeNew(draft, seal)
		if err == nil {
			err = os.Rename(draft, home.BackupSeal())
		}
		if err != nil {
			return unreadable(home.BackupSeal(), err, "check its permissions")
		}
		if !s.p.Document(map[string]string{"key": id, "file": args[0]}) {
			s.p.Say("%s  recovery key %s", screen.Bold(args[0]), id)
			s.p.Note("It alone reads the backups of this home. Keep it where this machine's fire does not reach; without it they are lost.")
		}
		s.p.Next("platform backup create DIRECTORY")
		return nil
	})
	cmd.Long = "Make the key that reads backups. FILE gets the recovery key; move it away from this machine. The\nhome gets the other half, which seals backups and cannot read them."
	cmd.Flags().StringVar(&phrase, "passphrase-file", "", "a file with a passphrase that seals the recovery key")
	cmd.Flags().BoolVar(&replace, "replace", false, "let later backups be read by the new key alone")
	return cmd
}

// writeNew makes a private file, durable.
func writeNew(name string, content []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// passphrase reads one from a file; on the command line everybody could read it.
func passphrase(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	text, err := small(file)
	if err == nil && text == "" {
		err = errors.New("it is empty")
	}
	if err != nil {
		return "", unreadable(file, err, "name a file with one line, the passphrase")
	}
	return text, nil
}

func (s *session) createBackupCmd() *cobra.Command {
	var r api.CreateBackup
	var root, phrase string
	cmd := command("create [TARGET]", "Make a backup now", "  platform backup create\n  platform backup create /mnt/backup", cobra.MaximumNArgs(1), func(ctx context.Context, args []string) error {
		if len(args) == 1 {
			r.Target = absolute(s.env.Dir, args[0])
		}
		if err := s.sealRoot(&r, root, phrase); err != nil {
			return err
		}
		return s.with(func(c *client.Client) error {
			began, err := c.CreateBackup(ctx, r)
			if err != nil {
				return err
			}
			done, err := s.awaitBackup(ctx, c, began)
			if err != nil {
				return err
			}
			if !s.p.Document(done) {
				s.p.Say("%s %s  %s, %s of it new, in %s", screen.Green("done"), screen.Bold(done.ID), screen.Size(done.Bytes), screen.Size(done.Copied), screen.Duration(done.Ended.Sub(done.Started)))
				for _, id := range done.Removed {
					s.p.Note("removed %s, which was too old", id)
				}
			}
			if done.Missing > 0 {
				s.p.Note("%d blobs that the record names are not in the home any more, and so not in the backup", done.Missing)
			}
			s.p.Next("platform backup verify %s --key FILE", quoted(done.Target))
			return nil
		})
	})
	cmd.Long = "Make a backup now. The server makes it, in TARGET as that machine sees it, or where platform up\n--backup-to says.\n\n" + targetsHelp
	cmd.Flags().StringVar(&root, "include-key", "", "put this root key of the key service into the backup, too, sealed by a passphrase")
	cmd.Flags().StringVar(&phrase, "passphrase-file", "", "a file with that passphrase")
	cmd.Flags().BoolVar(&r.Full, "full", false, "copy what is in the target already, too: it may be damaged there")
	return cmd
}

func exists(file string) bool {
	_, err := os.Lstat(file)
	return err == nil
}

// sealRoot seals the root key here: neither the server nor who reads the backup learns it.
func (s *session) sealRoot(r *api.CreateBackup, file, phrase string) error {
	if file == "" && phrase == "" {
		return nil
	}
	if file == "" || phrase == "" {
		return misuse("platform backup create --include-key FILE --passphrase-file FILE", "a root key is included sealed by a passphrase alone: give both files")
	}
	pass, err := passphrase(phrase)
	if err != nil {
		return err
	}
	key, err := bounded(file)
	if err != nil {
		return unreadable(file, err, "name the file with the root key")
	}
	r.RootKey, err = s.env.SealRootKey(key, pass)
	return err
}

// bounded reads a small file.
func bounded(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err == nil && info.Size() > 64<<10 {
		err = errors.New("it is too large for a key")
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(name)
}

// absolute is a target as the server finds it, wherever that was started.
func absolute(dir, target string) string {
	if strings.Contains(target, "://") || filepath.IsAbs(target) {
		return target
	}
	return filepath.Join(dir, target)
}

const backupPoll = 250 * time.Millisecond

// awaitBackup waits for the backup that began.
func (s *session) awaitBackup(ctx context.Context, c *client.Client, began api.BackupRun) (api.BackupRun, error) {
	for {
		p, err := c.BackupProgress(ctx)
		switch {
		case err != nil:
			return began, err
		case p.Running != nil:
			s.p.Progress("%s of %s", screen.Size(p.Running.Done), screen.Size(p.Running.Bytes))
		case p.Last != nil && !p.Last.Ended.Before(began.Started) && p.Last.State == "done":
			s.p.Clear()
			return *p.Last, nil
		case p.Last != nil && !p.Last.Ended.Before(began.Started):
			s.p.Clear()
			return began, slipway.Errorf(slipway.Unavailable, p.Last.Code, p.Last.Next, "no backup was made: %s", p.Last.Message)
		}
		select {
		case <-ctx.Done():
			s.p.Note("the server goes on with it")
			return began, ctx.Err()
		case <-time.After(backupPoll):
		}
	}
}

func (s *session) listBackupsCmd() *cobra.Command {
	return command("list [TARGET]", "List the backups there are", "  platform backup list", cobra.MaximumNArgs(1), func(ctx context.Context, args []string) error {
		target := ""
		if len(args) == 1 {
			target = absolute(s.env.Dir, args[0])
		}
		return s.with(func(c *client.Client) error {
			all, err := c.Backups(ctx, target)
			if err != nil {
				return err
			}
			if s.p.Document(all) {
				return nil
			}
			var rows [][]screen.Text
			for _, b := range all.Backups {
				if b.Problem != "" {
					rows = append(rows, []screen.Text{screen.Bold(b.ID), screen.Red(b.Problem)})
					continue
				}
				rows = append(rows, []screen.Text{screen.Bold(b.ID), screen.Plain(screen.Age(s.env.Now(), b.Created) + " ago"), screen.Plain(screen.Size(b.Bytes)), screen.Dim(fmt.Sprintf("%d parts, by %s", b.Parts, b.Build))})
			}
			s.p.Table(rows)
			if len(rows) == 0 {
				s.p.Note("there are none in %s", all.Target)
				s.p.Next("platform backup create%s", givenTarget(args))
				return nil
			}
			s.p.Next("platform backup verify %s --key FILE", quoted(all.Target))
			return nil
		})
	})
}

func givenTarget(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return " " + quoted(args[0])
}

func flagged(flag string, set bool) string {
	if set {
		return " " + flag
	}
	return ""
}

// recovery reads what verify and restore need of keys.
func (s *session) recovery(r *Restore, args []string, key, phrase string) (err error) {
	r.Target = absolute(s.env.Dir, args[0])
	if len(args) == 2 {
		r.ID = args[1]
	}
	if key == "" {
		return misuse("add --key FILE, the recovery key", "a backup cannot be read without its key")
	}
	if r.Key, err = bounded(key); err != nil {
		return unreadable(key, err, "name the file that platform backup key wrote")
	}
	r.Passphrase, err = passphrase(phrase)
	return err
}

func (s *session) verifyCmd() *cobra.Command {
	var key, phrase string
	cmd := command("verify TARGET [BACKUP]", "Read all of a backup, and say whether it could be restored", "  platform backup verify /mnt/backup --key recovery.key", cobra.RangeArgs(1, 2), func(ctx context.Context, args []string) error {
		r := Restore{Progress: s.progress("reading")}
		if err := s.recovery(&r, args, key, phrase); err != nil {
			return err
		}
		found, err := s.env.Verify(ctx, r)
		s.p.Clear()
		if found.ID != "" && (err == nil || len(found.Bad) > 0) {
			s.recordVerified(ctx, found)
		}
		for _, bad := range found.Bad {
			s.p.Note("%s %s", screen.Red("damaged"), bad)
		}
		if err != nil {
			return err
		}
		if !s.p.Document(found) {
			s.p.Say("%s %s is whole: %d files in %d parts, %s, %d events, read in %s", screen.Green("pass"), screen.Bold(found.ID), found.Files, found.Parts, screen.Size(found.Bytes), found.Events,
				screen.Duration(time.Duration(found.TookMS)*time.Millisecond))
		}
		s.p.Next("platform backup restore %s --key %s --home DIRECTORY", quoted(args[0]), quoted(key))
		return nil
	})
	cmd.Long = "Read all of a backup, the newest unless one is named, and say whether it could be restored. It\nis read on this machine. If a server is found here, the result is recorded there.\n\n" + targetsHelp
	cmd.Flags().StringVar(&key, "key", "", keyHelp)
	cmd.Flags().StringVar(&phrase, "passphrase-file", "", phraseHelp)
	return cmd
}

// recordVerified tells a server, if there is one, that a backup was read.
func (s *session) recordVerified(ctx context.Context, found Restored) {
	err := s.with(func(c *client.Client) error {
		return c.BackupVerified(ctx, found.ID, api.BackupVerified{Target: found.Target, Parts: found.Parts, Bytes: found.Bytes, Bad: len(found.Bad)})
	})
	if err != nil {
		s.p.Note("not recorded on a server: %s", slipway.AsError(err).Message)
	}
}

func (s *session) restoreCmd() *cobra.Command {
	var key, phrase, rootPhrase, database, file string
	var unverified bool
	cmd := command("restore TARGET [BACKUP]", "Bring a backup back, into an empty home", "  platform backup restore /mnt/backup --key recovery.key --home ./restored", cobra.RangeArgs(1, 2), func(ctx context.Context, args []string) error {
		home, err := s.homeDir()
		if err != nil {
			return err
		}
		r := Restore{Config: home, Progress: s.progress("restoring")}
		r.Config.PostgreSQLUnverified = unverified
		if r.Config.PostgreSQL, err = s.database(database, file); err != nil {
			return err
		}
		if err := s.recovery(&r, args, key, phrase); err != nil {
			return err
		}
		if r.RootPassphrase, err = passphrase(rootPhrase); err != nil {
			return err
		}
		found, err := s.env.Restore(ctx, r)
		s.p.Clear()
		if err != nil {
			return err
		}
		if !s.p.Document(found) {
			s.p.Say("%s %s is in %s: %s, %d events without a gap, %d blobs read again, in %s", screen.Green("done"), screen.Bold(found.ID), home.Home, screen.Size(found.Bytes), found.Events, found.Blobs,
				screen.Duration(time.Duration(found.TookMS)*time.Millisecond))
		}
		if exists(home.Keyset()) && !exists(home.RootKey()) {
			why := "a backup has no root key unless it was made with --include-key"
			if found.RootKey {
				why = "the backup has it for who gives --root-passphrase-file FILE"
			}
			s.p.Note("the root key of the key service is not there, and nothing that is stored opens without it: bring it back to %s, or name its place with --key-file; %s", home.RootKey(), why)
		}
		if found.Missing > 0 {
			s.p.Note("%d blobs were missing already when the backup was made", found.Missing)
		}
		s.p.Next("platform up --home %s%s%s%s", quoted(home.Home), given("--database", database), given("--database-file", file), flagged("--database-unverified", unverified))
		return nil
	})
	cmd.Long = "Bring a backup back, the newest unless one is named, into an empty home, and with --database into\nan empty PostgreSQL database: whatever kind the backup is of. In the end all is checked: the database,\nits events, and the bytes of all that it names. Broken off, the same command goes on with it; until it\nhas ended well no server starts there. The models of the old machine must not be served any more.\n\n" + targetsHelp
	cmd.Flags().StringVar(&key, "key", "", keyHelp)
	cmd.Flags().StringVar(&rootPhrase, "root-passphrase-file", "", "a file with the passphrase of the root key, if the backup has one")
	cmd.Flags().StringVar(&phrase, "passphrase-file", "", phraseHelp)
	cmd.Flags().StringVar(&database, "database", "", "an empty PostgreSQL database, postgres://USER@HOST/DATABASE (default $SLIPWAY_DATABASE, else SQLite)")
	cmd.Flags().StringVar(&file, "database-file", "", "a file with the address of the database, which may hold the password")
	cmd.Flags().BoolVar(&unverified, "database-unverified", false, "allow a database beyond this machine whose certificate is not checked")
	return cmd
}
