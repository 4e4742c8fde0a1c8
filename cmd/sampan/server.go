package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sampan/cluster"
)

// configFlags binds the flags of a server to a config. A file named by --config is read first, so that flags
// win over it.
type configFlags struct {
	cfg  cluster.Config
	node bool
	file string
	set  *pflag.FlagSet
}

func addConfigFlags(cmd *cobra.Command) *configFlags {
	c := &configFlags{cfg: cluster.DefaultConfig(), node: true, set: cmd.Flags()}
	f := cmd.Flags()
	f.StringVar(&c.cfg.DataDir, "data-dir", c.cfg.DataDir, "directory of the store, certificates, images, volumes and logs")
	f.StringVar(&c.cfg.Listen, "listen", c.cfg.Listen, "address and port of the API")
	f.StringVar(&c.cfg.Kubeconfig, "kubeconfig", "", "kubeconfig to write for the administrator (default DATA-DIR/kubeconfig)")
	f.StringVar(&c.cfg.Store, "store", c.cfg.Store, "where the state is kept: embedded, or etcd://HOST:PORT,… with an optional /NAME")
	f.StringVar(&c.cfg.EtcdCA, "etcd-ca", "", "PEM file of the authority that signed etcd's certificate")
	f.StringVar(&c.cfg.EtcdCert, "etcd-cert", "", "PEM file of the client certificate for etcd")
	f.StringVar(&c.cfg.EtcdKey, "etcd-key", "", "PEM file of the key of --etcd-cert")
	f.StringVar(&c.cfg.EncryptionKeyFile, "encryption-key-file", "", "file with the keys that Secrets are stored encrypted with: lines of NAME:BASE64, the first encrypts")
	f.StringVar(&c.cfg.AuditLogPath, "audit-log-path", "", "file to write every request to, as lines of JSON; - is the standard output")
	f.StringVar(&c.cfg.AuditPolicyFile, "audit-policy-file", "", "file with a Policy of audit.k8s.io/v1 that says what is written to the audit log (default everything, without bodies)")
	f.IntVar(&c.cfg.AuditLogMaxSize, "audit-log-maxsize", 0, "megabytes at which the audit log is set aside and begun anew (default 100)")
	f.IntVar(&c.cfg.AuditLogMaxBackup, "audit-log-maxbackup", 0, "how many audit logs that were set aside are kept; 0 is all")
	f.IntVar(&c.cfg.AuditLogMaxAge, "audit-log-maxage", 0, "for how many days audit logs that were set aside are kept; 0 is for ever")
	f.BoolVar(&c.node, "node", true, "run pods in this process too")
	f.StringVar(&c.cfg.NodeName, "node-name", "", "name of the node (default the host name)")
	f.StringVar(&c.cfg.PodCIDR, "pod-cidr", c.cfg.PodCIDR, "range of the pods' addresses")
	f.StringVar(&c.cfg.ServiceCIDR, "service-cidr", c.cfg.ServiceCIDR, "range of the Services' addresses")
	f.IntVar(&c.cfg.MaxRequests, "max-requests-inflight", c.cfg.MaxRequests, "reads that are carried out at the same time; more are told to come back")
	f.IntVar(&c.cfg.MaxMutatingRequests, "max-mutating-requests-inflight", c.cfg.MaxMutatingRequests, "the same for writes")
	f.StringVar(&c.file, "config", "", "YAML file with the same settings; flags win over it")
	return c
}

func (c *configFlags) settings() (cluster.Settings, error) {
	cfg := cluster.DefaultConfig()
	if c.file != "" {
		var err error
		if cfg, err = cluster.ReadConfig(cfg, c.file); err != nil {
			return cluster.Settings{}, err
		}
	}
	for name, set := range map[string]func(){
		"data-dir":     func() { cfg.DataDir = c.cfg.DataDir },
		"listen":       func() { cfg.Listen = c.cfg.Listen },
		"kubeconfig":   func() { cfg.Kubeconfig = c.cfg.Kubeconfig },
		"store":        func() { cfg.Store = c.cfg.Store },
		"etcd-ca":      func() { cfg.EtcdCA = c.cfg.EtcdCA },
		"etcd-cert":    func() { cfg.EtcdCert = c.cfg.EtcdCert },
		"etcd-key":     func() { cfg.EtcdKey = c.cfg.EtcdKey },
		"node":         func() { cfg.Node = &c.node },
		"node-name":    func() { cfg.NodeName = c.cfg.NodeName },
		"pod-cidr":     func() { cfg.PodCIDR = c.cfg.PodCIDR },
		"service-cidr": func() { cfg.ServiceCIDR = c.cfg.ServiceCIDR },

		"encryption-key-file": func() { cfg.EncryptionKeyFile = c.cfg.EncryptionKeyFile },
		"audit-log-path":      func() { cfg.AuditLogPath = c.cfg.AuditLogPath },
		"audit-policy-file":   func() { cfg.AuditPolicyFile = c.cfg.AuditPolicyFile },
		"audit-log-maxsize":   func() { cfg.AuditLogMaxSize = c.cfg.AuditLogMaxSize },
		"audit-log-maxbackup": func() { cfg.AuditLogMaxBackup = c.cfg.AuditLogMaxBackup },
		"audit-log-maxage":    func() { cfg.AuditLogMaxAge = c.cfg.AuditLogMaxAge },

		"max-requests-inflight":          func() { cfg.MaxRequests = c.cfg.MaxRequests },
		"max-mutating-requests-inflight": func() { cfg.MaxMutatingRequests = c.cfg.MaxMutatingRequests },
	} {
		if c.set.Changed(name) {
			set()
		}
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
	c.set.Visit(func(f *pflag.Flag) {
		switch f.Name {
		case "data-dir", "listen", "kubeconfig", "store", "etcd-ca", "etcd-cert", "etcd-key", "node", "node-name", "pod-cidr", "service-cidr", "config",
			"max-requests-inflight", "max-mutating-requests-inflight", "encryption-key-file",
			"audit-log-path", "audit-policy-file", "audit-log-maxsize", "audit-log-maxbackup", "audit-log-maxage":
			args = append(args, "--"+f.Name+"="+f.Value.String())
		}
	})
	return args
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
