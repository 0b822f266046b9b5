package cli

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/unite-hub/berth/internal/serve"
)

func (a *app) keyCommand() *cobra.Command {
	cmd := group("key", "Manage the keys that encrypt what is stored")
	ls := &cobra.Command{Use: "ls", Short: "List keys, and how much is sealed under each", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		list, err := c.Keys(cmd.Context())
		if err != nil {
			return err
		}
		return a.show(func() [][]string {
			rows := [][]string{{"ID", "CREATED", "SEALED", "STATE"}}
			for _, k := range list {
				state := "old"
				switch {
				case k.Missing:
					state = "missing"
				case k.Primary:
					state = "encrypts"
				}
				rows = append(rows, []string{fmt.Sprint(k.ID), ago(time.Now(), k.CreatedAt), fmt.Sprint(k.Sealed), state})
			}
			return rows
		})
	}}
	rotate := &cobra.Command{
		Use: "rotate", Short: "Make a key that encrypts from now on", Args: cobra.NoArgs,
		Long: `Make a key that encrypts from now on. Nothing stops meanwhile: earlier keys
still open what they sealed, which is sealed anew in the background. "berth key
ls" shows how far that is; then the old key can be retired.

Copy the key file again to where you keep it apart from the database.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			k, err := c.RotateKey(cmd.Context())
			if err != nil {
				return err
			}
			return a.show(func() [][]string { return [][]string{{"key " + fmt.Sprint(k.ID) + " encrypts from now on"}} })
		},
	}
	retire := &cobra.Command{
		Use: "retire ID", Short: "Remove a key that nothing is sealed under", Args: cobra.ExactArgs(1),
		Long: `Remove a key that nothing is sealed under any more, five minutes after the
rotation at the earliest.

A backup of the database from before that needs a key file from before that:
keep a copy of it for as long as you keep the backup.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseUint(args[0], 10, 32)
			if err != nil {
				return usagef("ID must be one that `berth key ls` shows; %q was given", args[0])
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			return c.RetireKey(cmd.Context(), uint32(id))
		},
	}
	cmd.AddCommand(ls, rotate, retire, a.rewrapCommand())
	return cmd
}

func (a *app) rewrapCommand() *cobra.Command {
	var k serve.Keys
	var clear bool
	cmd := &cobra.Command{
		Use: "rewrap", Short: "Have a KMS wrap the key file, or none", Args: cobra.NoArgs,
		Long: `Have the KMS that --kms names wrap the key file, or with --in-clear none. The
file is changed where this command runs; no control plane is asked. Start the
control plane anew right after, with the same --kms: until then it stores no new
secrets.

The KMS that wraps the file now must be given with --from. One token serves both.`,
	}
	a.keyFlags(cmd, &k)
	from := cmd.Flags().String("from", "", "the KMS that wraps the file now")
	cmd.Flags().BoolVar(&clear, "in-clear", false, "let no KMS wrap the file: its mode protects it")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if clear == (k.KMS != "") {
			return usagef("give either --kms or --in-clear")
		}
		return serve.Rewrap(cmd.Context(), a.stateDir, k, *from)
	}
	return cmd
}

// keyFlags say where the keys are.
func (a *app) keyFlags(cmd *cobra.Command, k *serve.Keys) {
	k.File, k.KMS = a.Getenv("BERTH_KEY_FILE"), a.Getenv("BERTH_KMS")
	k.Token, k.TokenFile = a.Getenv("BERTH_KMS_TOKEN"), a.Getenv("BERTH_KMS_TOKEN_FILE")
	cmd.Flags().StringVar(&k.File, "key-file", k.File, "file of the keys that encrypt what is stored, by default secret.key in the state directory; control planes that share a database need the same (BERTH_KEY_FILE)")
	cmd.Flags().StringVar(&k.KMS, "kms", k.KMS, "vault:https://HOST:8200/transit/KEY wraps the key file; the token is in BERTH_KMS_TOKEN, or in the file that BERTH_KMS_TOKEN_FILE names (BERTH_KMS)")
}
