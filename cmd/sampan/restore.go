package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"sampan/cluster"
)

func restoreCommand() *cobra.Command {
	cmd := &cobra.Command{
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
		Args: oneFile,
	}
	flags := addConfigFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := flags.settings()
		if err != nil {
			return err
		}
		sum, err := cluster.Restore(cmd.Context(), s, args[0])
		if err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d keys of revision %d\n", sum.Keys, sum.Revision)
		return err
	}
	return cmd
}
