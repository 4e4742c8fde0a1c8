package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sampan/cluster"
)

// configFlags are the flags of a server that a command has. A file named by --config is read first, so that flags win
// over it.
type configFlags struct {
	set  *pflag.FlagSet
	file string
}

func addConfigFlags(cmd *cobra.Command) *configFlags {
	c := &configFlags{set: pflag.NewFlagSet("server", pflag.ContinueOnError)}
	cfg := cluster.DefaultConfig()
	bind(c.set, &cfg)
	c.set.StringVar(&c.file, "config", "", "YAML file with the same settings; flags win over it")
	cmd.Flags().AddFlagSet(c.set)
	return c
}

// hideServing leaves out of the help of a command that starts no server what is about serving requests. The command
// takes those flags all the same: so one line of flags does for all commands.
func (c *configFlags) hideServing() {
	c.set.VisitAll(func(flag *pflag.Flag) {
		flag.Hidden = strings.HasPrefix(flag.Name, "audit-") || strings.HasPrefix(flag.Name, "max-")
	})
}

// bind adds the flags that set the fields of cfg. What the fields have is the default.
func bind(f *pflag.FlagSet, cfg *cluster.Config) {
	if cfg.Node == nil {
		cfg.Node = new(true)
	}
	f.StringVar(&cfg.DataDir, "data-dir", cfg.DataDir, "directory of the store, certificates, images, volumes and logs")
	f.StringVar(&cfg.Listen, "listen", cfg.Listen, "address and port of the API")
	f.StringVar(&cfg.Kubeconfig, "kubeconfig", cfg.Kubeconfig, "kubeconfig to write for the administrator (default DATA-DIR/kubeconfig)")
	f.StringVar(&cfg.Store, "store", cfg.Store, "where the state is kept: embedded, or etcd://HOST:PORT,… with an optional /NAME")
	f.StringVar(&cfg.EtcdCA, "etcd-ca", cfg.EtcdCA, "PEM file of the authority that signed etcd's certificate")
	f.StringVar(&cfg.EtcdCert, "etcd-cert", cfg.EtcdCert, "PEM file of the client certificate for etcd")
	f.StringVar(&cfg.EtcdKey, "etcd-key", cfg.EtcdKey, "PEM file of the key of --etcd-cert")
	f.StringVar(&cfg.EncryptionKeyFile, "encryption-key-file", cfg.EncryptionKeyFile, "file with the keys that Secrets are stored encrypted with: lines of NAME:BASE64, the first encrypts")
	f.StringVar(&cfg.AuditLogPath, "audit-log-path", cfg.AuditLogPath, "file to write every request to, as lines of JSON; - is the standard output")
	f.StringVar(&cfg.AuditPolicyFile, "audit-policy-file", cfg.AuditPolicyFile, "file with a Policy of audit.k8s.io/v1 that says what is written to the audit log (default everything, without bodies)")
	f.IntVar(&cfg.AuditLogMaxSize, "audit-log-maxsize", cfg.AuditLogMaxSize, "megabytes at which the audit log is set aside and begun anew (default 100)")
	f.IntVar(&cfg.AuditLogMaxBackup, "audit-log-maxbackup", cfg.AuditLogMaxBackup, "how many audit logs that were set aside are kept; 0 is all")
	f.IntVar(&cfg.AuditLogMaxAge, "audit-log-maxage", cfg.AuditLogMaxAge, "for how many days audit logs that were set aside are kept; 0 is for ever")
	f.BoolVar(cfg.Node, "node", *cfg.Node, "run pods in this process too")
	f.StringVar(&cfg.NodeName, "node-name", cfg.NodeName, "name of the node (default the host name)")
	f.StringVar(&cfg.PodCIDR, "pod-cidr", cfg.PodCIDR, "range of the pods' addresses")
	f.StringVar(&cfg.ServiceCIDR, "service-cidr", cfg.ServiceCIDR, "range of the Services' addresses")
	f.IntVar(&cfg.MaxRequests, "max-requests-inflight", cfg.MaxRequests, "reads that are carried out at the same time; more are told to come back")
	f.IntVar(&cfg.MaxMutatingRequests, "max-mutating-requests-inflight", cfg.MaxMutatingRequests, "writes that are carried out at the same time; more are told to come back")
}

// settings returns what a server is to run with: defaults, over them the file, over it the flags.
func (c *configFlags) settings() (cluster.Settings, error) {
	cfg := cluster.DefaultConfig()
	var err error
	if c.file != "" {
		if cfg, err = cluster.ReadConfig(cfg, c.file); err != nil {
			return cluster.Settings{}, err
		}
	}
	again := pflag.NewFlagSet("", pflag.ContinueOnError)
	bind(again, &cfg)
	c.given(func(f *pflag.Flag) {
		if f.Name != "config" {
			err = errors.Join(err, again.Set(f.Name, f.Value.String()))
		}
	})
	if err != nil {
		return cluster.Settings{}, err
	}
	s, err := cfg.Check()
	if err != nil {
		return s, usageError{err}
	}
	return s, nil
}

// arguments returns the flags that were given, for a server that is started in the background.
func (c *configFlags) arguments() []string {
	var args []string
	c.given(func(f *pflag.Flag) { args = append(args, "--"+f.Name+"="+f.Value.String()) })
	return args
}

// given calls f with the flags that the command line has.
func (c *configFlags) given(f func(*pflag.Flag)) {
	c.set.VisitAll(func(flag *pflag.Flag) {
		if flag.Changed {
			f(flag)
		}
	})
}

func serverCommand() *cobra.Command {
	var readyFD int
	var debug bool
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run a server in the foreground",
		Long: `Run a server in the foreground. Ending it (Ctrl-C, SIGTERM, even SIGKILL) leaves the pods running: the next
server with the same data directory takes them over. To stop the pods too, use sampan down.`,
		Args: noArguments,
	}
	flags := addConfigFlags(cmd)
	cmd.Flags().BoolVar(&debug, "debug", false, "log what is done, not only what is wrong")
	cmd.Flags().IntVar(&readyFD, "ready-fd", 0, "file descriptor to report on, as JSON lines, when a part is ready")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := flags.settings()
		if err != nil {
			return err
		}
		level := slog.LevelInfo
		if debug {
			level = slog.LevelDebug
		}
		log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
		var ready io.Writer
		if readyFD > 0 {
			f := os.NewFile(uintptr(readyFD), "ready")
			if f == nil {
				return usageError{errors.New("--ready-fd: not an open file descriptor")}
			}
			defer f.Close()
			ready = f
		}
		if err := cluster.Run(cmd.Context(), s, log, ready); err != nil {
			return fmt.Errorf("server: %w", err)
		}
		return nil
	}
	return cmd
}
