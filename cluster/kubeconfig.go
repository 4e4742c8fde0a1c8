package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmd "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"
)

// contextName is the name of cluster, user and context in a kubeconfig.
const contextName = "sampan"

// writeKubeconfig writes the administrator's kubeconfig with mode 0600, atomically, if it is not there as it
// should be.
func writeKubeconfig(file string, server netip.AddrPort, ca, cert, key []byte) error {
	server = reachable(server)
	data, err := yaml.Marshal(clientcmd.Config{
		APIVersion:     "v1",
		Kind:           "Config",
		CurrentContext: contextName,
		Clusters: []clientcmd.NamedCluster{{Name: contextName, Cluster: clientcmd.Cluster{
			Server:                   "https://" + server.String(),
			CertificateAuthorityData: ca,
		}}},
		AuthInfos: []clientcmd.NamedAuthInfo{{Name: contextName, AuthInfo: clientcmd.AuthInfo{
			ClientCertificateData: cert,
			ClientKeyData:         key,
		}}},
		Contexts: []clientcmd.NamedContext{{Name: contextName, Context: clientcmd.Context{
			Cluster: contextName, AuthInfo: contextName,
		}}},
	})
	if err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	if info, err := os.Stat(file); err == nil && info.Mode().Perm() == 0o600 {
		if have, err := os.ReadFile(file); err == nil && string(have) == string(data) {
			return nil
		}
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".kubeconfig-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write kubeconfig %s: %w", file, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Close()); err != nil {
		return fmt.Errorf("write kubeconfig %s: %w", file, err)
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return fmt.Errorf("write kubeconfig %s: %w", file, err)
	}
	return nil
}

// reachable returns an address under which somebody on this machine finds a listener.
func reachable(listen netip.AddrPort) netip.AddrPort {
	if listen.Addr().IsUnspecified() {
		return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), listen.Port())
	}
	return listen
}

// apiClient asks the API over HTTPS as the kubeconfig's user, for commands that run beside a server.
type apiClient struct {
	base string
	http *http.Client
}

func newAPIClient(kubeconfig string) (*apiClient, error) {
	data, err := os.ReadFile(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	var cfg clientcmd.Config
	if err := yaml.Unmarshal(data, &cfg); err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", kubeconfig, err)
	}
	if len(cfg.Clusters) == 0 || len(cfg.AuthInfos) == 0 {
		return nil, fmt.Errorf("kubeconfig %s names no cluster or no user", kubeconfig)
	}
	user := cfg.AuthInfos[0].AuthInfo
	pair, err := tls.X509KeyPair(user.ClientCertificateData, user.ClientKeyData)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: client certificate: %w", kubeconfig, err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(cfg.Clusters[0].Cluster.CertificateAuthorityData) {
		return nil, fmt.Errorf("kubeconfig %s: no certificate authority", kubeconfig)
	}
	return &apiClient{
		base: cfg.Clusters[0].Cluster.Server,
		http: &http.Client{
			Timeout:   10 * time.Second,
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}},
		},
	}, nil
}

// get reads a path as JSON into an object.
func (c *apiClient) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the API for %s: %w", path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("ask the API for %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		var st metav1.Status
		_ = json.Unmarshal(body, &st)
		return fmt.Errorf("ask the API for %s: %s %s", path, resp.Status, st.Message)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("answer of the API to %s: %w", path, err)
	}
	return nil
}
