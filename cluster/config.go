package cluster

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"sampan/apiserver/audit"
)

// Config is what a server is told. [DefaultConfig] has the values that a user gets who says nothing.
type Config struct {
	// DataDir holds everything that must survive: store, certificates, images, volumes, logs. Its path also
	// names the instance, so two servers with different directories live side by side.
	DataDir string `json:"dataDir,omitempty"`
	// Listen is where the API is served.
	Listen string `json:"listen,omitempty"`
	// Kubeconfig is the file that is written for the administrator; "" means <DataDir>/kubeconfig.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// Store is "embedded", a file in the data directory, or an external etcd: "etcd://HOST:PORT,HOST:PORT",
	// with "/NAME" behind it if the etcd keeps several clusters.
	Store string `json:"store,omitempty"`
	// EtcdCA, EtcdCert and EtcdKey are PEM files for an etcd over TLS: the authority that signed its certificate
	// ("": one that the machine trusts), and the client certificate to show ("": none). Any of them means https.
	EtcdCA   string `json:"etcdCA,omitempty"`
	EtcdCert string `json:"etcdCert,omitempty"`
	EtcdKey  string `json:"etcdKey,omitempty"`
	// EncryptionKeyFile has the keys that Secrets are encrypted with before they are stored: lines of NAME:KEY, the
	// key 16, 24 or 32 bytes in base64. The first encrypts, the others only decrypt. "" stores them as they are.
	EncryptionKeyFile string `json:"encryptionKeyFile,omitempty"`
	// AuditLogPath is a file to which every request is written, as a line of JSON; "" for none, "-" for the standard
	// output. AuditPolicyFile says which, and how much of them: a file with a Policy of audit.k8s.io/v1.
	AuditLogPath    string `json:"auditLogPath,omitempty"`
	AuditPolicyFile string `json:"auditPolicyFile,omitempty"`
	// AuditLogMaxSize is the size in megabytes at which the log is set aside and begun anew; 0 is 100. Of those set
	// aside AuditLogMaxBackup are kept, for AuditLogMaxAge days; 0 is no bound.
	AuditLogMaxSize   int `json:"auditLogMaxSize,omitempty"`
	AuditLogMaxBackup int `json:"auditLogMaxBackup,omitempty"`
	AuditLogMaxAge    int `json:"auditLogMaxAge,omitempty"`
	// Node says whether this process also runs pods.
	Node *bool `json:"node,omitempty"`
	// NodeName is the name of the node; "" means the host name.
	NodeName string `json:"nodeName,omitempty"`
	// PodCIDR is the range of the pods' addresses on this node.
	PodCIDR string `json:"podCIDR,omitempty"`
	// ServiceCIDR is the range of the Services' addresses. The first is the API's and the tenth is the DNS
	// server's.
	ServiceCIDR string `json:"serviceCIDR,omitempty"`
	// MaxRequests and MaxMutatingRequests bound the requests that the API server carries out at the same time, reads
	// and writes; what is more is told to come back (429). Watches and other streams are not counted.
	MaxRequests         int `json:"maxRequestsInFlight,omitempty"`
	MaxMutatingRequests int `json:"maxMutatingRequestsInFlight,omitempty"`
}

// DefaultDataDir is where a server keeps its data when it is told nothing.
const DefaultDataDir = "/var/lib/sampan"

// DefaultConfig returns the documented defaults.
func DefaultConfig() Config {
	node := true
	return Config{
		DataDir:     DefaultDataDir,
		Listen:      "127.0.0.1:6443",
		Store:       "embedded",
		Node:        &node,
		PodCIDR:     "10.244.0.0/24",
		ServiceCIDR: "10.96.0.0/16",

		MaxRequests:         400,
		MaxMutatingRequests: 200,
	}
}

// ReadConfig reads a YAML file over c: what the file does not name stays as it is. An unknown field is an error.
func ReadConfig(c Config, file string) (Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return c, fmt.Errorf("read the configuration: %w", err)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return c, nil
	}
	if err := yaml.UnmarshalStrict(data, &c); err != nil {
		return c, fmt.Errorf("configuration %s: %w", file, err)
	}
	return c, nil
}

// Settings is a Config that has been checked and parsed.
type Settings struct {
	DataDir     string // absolute
	Instance    string // six hex digits that name everything that the kernel sees of this instance
	RunDir      string // sockets and what must not survive a reboot
	Listen      netip.AddrPort
	Kubeconfig  string
	Etcd        *EtcdSettings // nil: the embedded store
	Node        bool
	NodeName    string
	PodCIDR     netip.Prefix
	ServiceCIDR netip.Prefix

	MaxRequests, MaxMutatingRequests int

	EncryptionKeyFile, AuditPolicyFile string     // "": none
	AuditLog                           audit.File // Path "": none
}

// Check parses the configuration, or says which value is wrong and what it should look like.
func (c Config) Check() (Settings, error) {
	s := Settings{
		Node: c.Node == nil || *c.Node, NodeName: c.NodeName, Kubeconfig: c.Kubeconfig,
		MaxRequests: c.MaxRequests, MaxMutatingRequests: c.MaxMutatingRequests,
		EncryptionKeyFile: c.EncryptionKeyFile, AuditPolicyFile: c.AuditPolicyFile,
		AuditLog: audit.File{Path: c.AuditLogPath, MaxSize: c.AuditLogMaxSize, MaxBackups: c.AuditLogMaxBackup, MaxAge: c.AuditLogMaxAge},
	}
	if c.AuditPolicyFile != "" && c.AuditLogPath == "" {
		return s, errors.New("an audit policy needs an audit log to write to: set --audit-log-path")
	}
	if min(c.AuditLogMaxSize, c.AuditLogMaxBackup, c.AuditLogMaxAge) < 0 {
		return s, fmt.Errorf("audit-log-maxsize %d, audit-log-maxbackup %d and audit-log-maxage %d: want no negative number", c.AuditLogMaxSize, c.AuditLogMaxBackup, c.AuditLogMaxAge)
	}
	var err error
	if s.MaxRequests < 1 || s.MaxMutatingRequests < 1 {
		return s, fmt.Errorf("max-requests-inflight %d and max-mutating-requests-inflight %d: want at least 1", s.MaxRequests, s.MaxMutatingRequests)
	}
	if s.DataDir, err = filepath.Abs(c.DataDir); err != nil || c.DataDir == "" {
		return s, fmt.Errorf("data directory %q: not a path", c.DataDir)
	}
	s.Instance = InstanceOf(s.DataDir)
	s.RunDir = filepath.Join("/run/sampan", s.Instance)
	if s.Kubeconfig == "" {
		s.Kubeconfig = filepath.Join(s.DataDir, "kubeconfig")
	}
	if s.Listen, err = netip.ParseAddrPort(c.Listen); err != nil {
		return s, fmt.Errorf("listen address %q: want ADDRESS:PORT, such as 127.0.0.1:6443", c.Listen)
	}
	if s.Etcd, err = c.parseStore(); err != nil {
		return s, err
	}
	if s.PodCIDR, err = prefix("pod-cidr", c.PodCIDR); err != nil {
		return s, err
	}
	if s.ServiceCIDR, err = prefix("service-cidr", c.ServiceCIDR); err != nil {
		return s, err
	}
	if s.PodCIDR.Overlaps(s.ServiceCIDR) {
		return s, fmt.Errorf("pod-cidr %s and service-cidr %s overlap", s.PodCIDR, s.ServiceCIDR)
	}
	if s.NodeName == "" {
		if s.NodeName, err = os.Hostname(); err != nil {
			return s, fmt.Errorf("name of the node: %w", err)
		}
	}
	s.NodeName = strings.ToLower(s.NodeName)
	if msgs := validation.IsDNS1123Subdomain(s.NodeName); len(msgs) > 0 {
		return s, fmt.Errorf("node name %q: %s", s.NodeName, strings.Join(msgs, "; "))
	}
	return s, nil
}

func prefix(what, value string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(value)
	switch {
	case err != nil || !p.Addr().Is4():
		return p, fmt.Errorf("%s %q: want an IPv4 range such as 10.96.0.0/16", what, value)
	case p != p.Masked():
		return p, fmt.Errorf("%s %s: the range begins at %s", what, p, p.Masked())
	case p.Bits() > 24:
		return p, fmt.Errorf("%s %s: a range of at least 256 addresses (/24) is needed", what, p)
	}
	return p, nil
}

// InstanceOf returns the name of the instance with the data directory (an absolute path).
func InstanceOf(dataDir string) string {
	sum := sha256.Sum256([]byte(dataDir))
	return hex.EncodeToString(sum[:3])
}

func (s Settings) storeFile() string  { return filepath.Join(s.DataDir, "store.db") }
func (s Settings) pkiDir() string     { return filepath.Join(s.DataDir, "pki") }
func (s Settings) imageDir() string   { return ImageDir(s.DataDir) }
func (s Settings) runtimeDir() string { return filepath.Join(s.DataDir, "runtime") }
func (s Settings) podDir() string     { return filepath.Join(s.DataDir, "node") }
func (s Settings) podLogDir() string  { return filepath.Join(s.DataDir, "logs", "pods") }
func (s Settings) volumeDir() string  { return filepath.Join(s.DataDir, "volumes") }
func (s Settings) networkDir() string { return filepath.Join(s.DataDir, "network") }
func (s Settings) lockFile() string   { return filepath.Join(s.DataDir, "server.lock") }
func (s Settings) logFile() string    { return filepath.Join(s.DataDir, "server.log") }

// ImageDir returns where an instance with the data directory keeps its images.
func ImageDir(dataDir string) string { return filepath.Join(dataDir, "images") }
