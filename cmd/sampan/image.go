package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"sampan/cluster"
	"sampan/image"
)

func imageCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Bring images in, list them and remove them",
		Long: `Bring images in, list them and remove them. Images are files below the data directory: no server needs to run,
and one that runs sees each change at once.`,
		Args: onlyCommands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(imageImportCommand(), imagePullCommand(), imageExportCommand(), imageListCommand(), imageRemoveCommand(), imagePruneCommand())
	return cmd
}

// imageStore is the store that a command works on, from its --data-dir.
type imageStore struct{ dataDir string }

func addDataDir(cmd *cobra.Command) *imageStore {
	s := new(imageStore)
	cmd.Flags().StringVar(&s.dataDir, "data-dir", cluster.DefaultDataDir, "data directory of the cluster")
	return s
}

func (s *imageStore) open() (*image.Store, error) {
	if err := cluster.CheckDataDir(s.dataDir); err != nil {
		return nil, err
	}
	return image.Open(cluster.ImageDir(s.dataDir), slog.New(slog.NewTextHandler(os.Stderr, nil)))
}

// inUse returns which images containers hold.
func (s *imageStore) inUse(cmd *cobra.Command) (image.InUse, error) {
	cfg := cluster.DefaultConfig()
	cfg.DataDir = s.dataDir
	settings, err := cfg.Check()
	if err != nil {
		return nil, err
	}
	return cluster.ImagesInUse(cmd.Context(), settings)
}

func imageImportCommand() *cobra.Command {
	var config imagespec.ImageConfig
	var tag string
	var ports []string
	cmd := &cobra.Command{
		Use:   "import FILE|DIR --tag NAME",
		Short: "Import an archive, an OCI layout or a root file system",
		Long: `Import an archive of docker save, an OCI layout (a folder or a tar), or a root file system (a folder or a tar),
which becomes an image of one layer. --entrypoint and what follows it describe a root file system; archives and
layouts bring their own description.`,
		Args: oneArgument("FILE|DIR"),
	}
	store := addDataDir(cmd)
	f := cmd.Flags()
	f.StringVar(&tag, "tag", "", "reference of the image, such as shop/php:v1")
	f.StringArrayVar(&config.Entrypoint, "entrypoint", nil, "program that containers run; again for each of its arguments")
	f.StringArrayVar(&config.Cmd, "cmd", nil, "default arguments of the program; may be given more than once")
	f.StringArrayVar(&config.Env, "env", nil, "NAME=VALUE in the environment; may be given more than once")
	f.StringVar(&config.WorkingDir, "workdir", "", "working directory")
	f.StringVar(&config.User, "user", "", "user, or user:group")
	f.StringVar(&config.StopSignal, "stop-signal", "", "signal that asks the program to end")
	f.StringArrayVar(&ports, "port", nil, "port that the program listens on, such as 80/tcp; may be given more than once")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for _, e := range config.Env {
			if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
				return usageError{fmt.Errorf("--env %q: want NAME=VALUE", e)}
			}
		}
		for _, p := range ports {
			if config.ExposedPorts == nil {
				config.ExposedPorts = map[string]struct{}{}
			}
			config.ExposedPorts[p] = struct{}{}
		}
		images, err := store.open()
		if err != nil {
			return err
		}
		done, err := images.Import(cmd.Context(), args[0], image.ImportOptions{Tag: tag, Config: config})
		if err != nil {
			return err
		}
		for _, i := range done {
			fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n", short(i.ID), strings.Join(i.Tags, " "))
		}
		return nil
	}
	return cmd
}

func imagePullCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pull NAME",
		Short: "Pull an image from a registry",
		Long:  `Pull an image from a registry, with the credentials of docker login if there are any.`,
		Args:  oneArgument("NAME"),
	}
	store := addDataDir(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		images, err := store.open()
		if err != nil {
			return err
		}
		bars := newBars(os.Stderr)
		info, err := images.Pull(cmd.Context(), args[0], image.PullOptions{Auth: authn.DefaultKeychain, Progress: bars.report})
		bars.wait(err == nil)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n", short(info.ID), strings.Join(info.Tags, " "))
		return nil
	}
	return cmd
}

func imageExportCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "export NAME -o FILE",
		Short: "Write an image as an archive that docker load reads",
		Args:  oneArgument("NAME"),
	}
	store := addDataDir(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write, - for standard output")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if output == "" {
			return usageError{errors.New("sampan image export takes --output FILE, or - for standard output")}
		}
		images, err := store.open()
		if err != nil {
			return err
		}
		var to io.Writer = cmd.OutOrStdout()
		if output != "-" {
			f, err := os.Create(output)
			if err != nil {
				return err
			}
			defer func() {
				if err = errors.Join(err, f.Close()); err != nil {
					os.Remove(output) // half an archive helps nobody
				}
			}()
			to = f
		}
		return images.Export(cmd.Context(), args[0], to)
	}
	return cmd
}

func imageListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List the images", Args: noArguments}
	store := addDataDir(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		images, err := store.open()
		if err != nil {
			return err
		}
		list, err := images.List()
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 3, ' ', 0)
		fmt.Fprintln(w, "IMAGE\tID\tSIZE\tCREATED")
		for _, i := range list {
			tags := i.Tags
			if len(tags) == 0 {
				tags = []string{"<none>"}
			}
			created := "-"
			if !i.Created.IsZero() {
				created = i.Created.UTC().Format(time.RFC3339)
			}
			for _, t := range tags {
				fmt.Fprintf(w, "%s\t%s\t%.1f MB\t%s\n", t, short(i.ID), float64(i.Size)/1e6, created)
			}
		}
		return w.Flush()
	}
	return cmd
}

func imageRemoveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "rm NAME|ID",
		Aliases: []string{"remove"},
		Short:   "Remove a name, and the image with its last name; never one that a container uses",
		Args:    oneArgument("NAME|ID"),
	}
	store := addDataDir(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		images, err := store.open()
		if err != nil {
			return err
		}
		inUse, err := store.inUse(cmd)
		if err != nil {
			return err
		}
		return images.Remove(cmd.Context(), args[0], inUse)
	}
	return cmd
}

func imagePruneCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{Use: "prune", Short: "Remove the images that have no name, or with --all, that no container uses", Args: noArguments}
	store := addDataDir(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "remove images with a name too")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		images, err := store.open()
		if err != nil {
			return err
		}
		inUse, err := store.inUse(cmd)
		if err != nil {
			return err
		}
		gone, err := images.Prune(cmd.Context(), all, inUse)
		for _, i := range gone {
			fmt.Fprintf(cmd.OutOrStdout(), "removed %s  %s\n", short(i.ID), strings.Join(i.Tags, " "))
		}
		return err
	}
	return cmd
}

// short returns an image's ID as people read it.
func short(id string) string {
	digits := strings.TrimPrefix(id, "sha256:")
	return digits[:min(12, len(digits))]
}
