// Command sampan runs Kubernetes workloads: flags to a config value, and a call of package cluster.
//
// Exit codes: 0 done, 1 failed (one line on stderr says what and how to fix it), 2 wrong usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"sampan/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

// usageError is a mistake in the command line, as opposed to something that failed.
type usageError struct{ error }

func run(ctx context.Context, args []string) int {
	root := rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "sampan:", err)
	var usage usageError
	if errors.As(err, &usage) {
		return 2
	}
	return 1
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "sampan",
		Short: "Kubernetes workloads from one small binary",
		Long: `Sampan runs Kubernetes workloads from one small binary: the API server, the controllers, the scheduler,
the node agent, the pod runtime, the service proxy and the cluster DNS.

  sudo sampan up                     start a cluster in the background
  sudo sampan up -f manifests/       and apply manifests, and wait until they are ready
  sudo sampan image import DIR --tag NAME
  sudo sampan status
  sudo sampan backup FILE            write the cluster's state to one file, while it goes on
  sudo sampan down                   stop everything and leave no trace in the kernel`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          onlyCommands,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath())}
	})
	root.AddCommand(serverCommand(), upCommand(), downCommand(), statusCommand(), imageCommand(), backupCommand(), restoreCommand(), versionCommand())
	return root
}

// onlyCommands rejects arguments of a command that only has commands: none has such a name.
func onlyCommands(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unknown command %q (see %s --help)", args[0], cmd.CommandPath())}
	}
	return nil
}

// noArguments rejects arguments as wrong usage.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s takes no arguments, got %q", cmd.CommandPath(), args[0])}
	}
	return nil
}

// oneArgument rejects all but one argument, which the help calls name, as wrong usage.
func oneArgument(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{fmt.Errorf("%s takes one %s, got %d arguments", cmd.CommandPath(), name, len(args))}
		}
		return nil
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the versions of Sampan and of the API",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "sampan %s\nkubernetes API %s\n", cluster.Version, cluster.APIVersion().GitVersion)
			return err
		},
	}
}
