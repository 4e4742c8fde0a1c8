package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"sampan/cluster"
)

func backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write everything in the cluster's store to one file, while the cluster goes on",
		Long: `Write everything in the cluster's store to one file, as it is at one moment, while the cluster goes on.
The file is compressed and has a checksum; it appears only when it is whole. It holds Secrets, and the cluster's
authority and key for tokens: keep it safe. It does not hold what is beside the store in the data directory: images,
volumes, logs.

With the flags that the server was started with, it works whether the server runs or not, for both kinds of store.`,
		Args: oneFile,
	}
	flags := addConfigFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := flags.settings()
		if err != nil {
			return err
		}
		sum, err := cluster.Backup(cmd.Context(), s, args[0])
		if err != nil {
			return fmt.Errorf("backup: %w", err)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d keys at revision %d\n", sum.Keys, sum.Revision)
		return err
	}
	return cmd
}

// oneFile rejects all but one argument as wrong usage.
func oneFile(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{fmt.Errorf("%s takes one FILE, got %d arguments", cmd.CommandPath(), len(args))}
	}
	return nil
}
