package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"sampan/cluster"
	"sampan/store/backup"
)

func backupCommand() *cobra.Command {
	return onBackup(cluster.Backup, &cobra.Command{
		Use:   "backup FILE",
		Short: "Write everything in the cluster's store to one file, while the cluster goes on",
		Long: `Write everything in the cluster's store to one file, as it is at one moment, while the cluster goes on.
The file is compressed and has a checksum; it appears only when it is whole. It holds Secrets, and the cluster's
authority and key for tokens: keep it safe. It does not hold what is beside the store in the data directory: images,
volumes, logs.

With the flags that the server was started with, it works whether the server runs or not, for both kinds of store.`,
	})
}

func restoreCommand() *cobra.Command {
	return onBackup(cluster.Restore, &cobra.Command{
		Use:   "restore FILE",
		Short: "Fill an empty store from a backup",
		Long: `Fill an empty store from a backup, of the kind that --store names, whichever kind the backup came from. To move
a cluster from its embedded store to an etcd:

  sampan backup cluster.backup
  sampan down
  sampan restore cluster.backup --store etcd://10.0.0.1:2379
  sampan up --store etcd://10.0.0.1:2379

Versions of objects go on rising, so clients of the old cluster notice that they have to list anew. A restore
that breaks off leaves a store that no server opens; run it again.`,
	})
}

// onBackup makes cmd do something with one backup, in the store that the flags of a server name.
func onBackup(do func(context.Context, cluster.Settings, string) (backup.Summary, error), cmd *cobra.Command) *cobra.Command {
	cmd.Args = oneArgument("FILE")
	flags := addConfigFlags(cmd)
	flags.hideServing()
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := flags.settings()
		if err != nil {
			return err
		}
		sum, err := do(cmd.Context(), s, args[0])
		if err != nil {
			return fmt.Errorf("%s: %w", cmd.Name(), err)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d keys at revision %d\n", sum.Keys, sum.Revision)
		return err
	}
	return cmd
}
