package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"sampan/cluster"
)

func upCommand() *cobra.Command {
	var manifests []string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a server in the background and wait until it is ready",
		Long: `Start a server in the background and wait until the API answers and the node is Ready. With -f, apply the
manifests with kubectl and wait until they are rolled out. A second up changes nothing.`,
		Args: noArguments,
	}
	flags := addConfigFlags(cmd)
	cmd.Flags().StringArrayVarP(&manifests, "filename", "f", nil, "manifests to apply: a file, a folder, a kustomization or a URL; may be given more than once")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "how long each workload of -f may take to be ready")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := flags.settings()
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		names := map[string]string{cluster.PartAPI: "API ready", cluster.PartNode: "node Ready"}
		started, err := cluster.Up(cmd.Context(), s, flags.arguments(), func(r cluster.Report) {
			fmt.Fprintf(out, "%-12s %6.0f ms\n", names[r.Part], r.Milliseconds)
		})
		if err != nil {
			return fmt.Errorf("up: %w", err)
		}
		if !started {
			fmt.Fprintln(out, "the server is running already")
		}
		fmt.Fprintf(out, "\n  export KUBECONFIG=%s\n\n", s.Kubeconfig)
		for _, m := range manifests {
			if err := cluster.Apply(cmd.Context(), s, m, timeout, os.Stdout); err != nil {
				return fmt.Errorf("up: %w", err)
			}
		}
		return nil
	}
	return cmd
}

func downCommand() *cobra.Command {
	var purge bool
	var grace time.Duration
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Stop the pods and the server and leave no trace in the kernel",
		Long: `Stop the server and the pods, and remove every interface, rule, mount and cgroup of the instance. The data
stays, so that the next up brings everything back as it was; --purge removes it too. It also cleans up after a
server that was killed.`,
		Args: noArguments,
	}
	flags := addConfigFlags(cmd)
	flags.hideServing()
	cmd.Flags().BoolVar(&purge, "purge", false, "remove the data directory too")
	cmd.Flags().DurationVar(&grace, "grace", 10*time.Second, "how long the pods may take to end by themselves")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := flags.settings()
		if err != nil {
			return err
		}
		if err := cluster.Down(cmd.Context(), s, grace, purge); err != nil {
			return fmt.Errorf("down: %w", err)
		}
		return nil
	}
	return cmd
}

func statusCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what runs, and where the Services are reached",
		Args:  noArguments,
	}
	flags := addConfigFlags(cmd)
	flags.hideServing()
	cmd.Flags().StringVarP(&format, "output", "o", "", "json, or nothing for text")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := flags.settings()
		if err != nil {
			return err
		}
		if format != "" && format != "json" {
			return usageError{fmt.Errorf("output %q: want json", format)}
		}
		st, err := cluster.ReadStatus(cmd.Context(), s)
		if err != nil {
			return fmt.Errorf("status: %w", err)
		}
		if format == "json" {
			return st.WriteJSON(cmd.OutOrStdout())
		}
		return st.WriteText(cmd.OutOrStdout())
	}
	return cmd
}
