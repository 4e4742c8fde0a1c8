package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientcmd "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"
)

// api asks a server over HTTPS.
type api struct {
	base   string
	config *tls.Config
	http   *http.Client
}

func newAPI(dataDir string) (*api, error) {
	data, err := os.ReadFile(filepath.Join(dataDir, "kubeconfig"))
	if err != nil {
		return nil, err
	}
	var cfg clientcmd.Config
	if err := yaml.Unmarshal(data, &cfg); err != nil {
		return nil, err
	}
	user, cluster := cfg.AuthInfos[0].AuthInfo, cfg.Clusters[0].Cluster
	pair, err := tls.X509KeyPair(user.ClientCertificateData, user.ClientKeyData)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cluster.CertificateAuthorityData)
	a := &api{base: cluster.Server, config: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}}
	a.http = a.connection()
	return a, nil
}

// startAPI starts a server without node parts on a new data directory.
func startAPI(binary string) (*server, *api, error) {
	dir, err := dataDir()
	if err != nil {
		return nil, nil, err
	}
	s, err := start(binary, dir, "--node=false")
	if err != nil {
		return nil, nil, err
	}
	a, err := newAPI(dir)
	return s, a, err
}

// connection returns a client with one connection of its own.
func (a *api) connection() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: a.config.Clone(), ForceAttemptHTTP2: true}}
}

// do sends a request and returns the body of a 2xx answer.
func (a *api) do(client *http.Client, method, path, contentType, accept string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(background(), method, a.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: %s: %.300s", method, path, resp.Status, data)
	}
	return data, nil
}

func configMap(name string, size int) []byte {
	data, _ := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": name},
		"data":     map[string]string{"value": strings.Repeat("x", size)},
	})
	return data
}

const configMaps = "/api/v1/namespaces/default/configmaps"

// rate runs operation i from clients side by side for a while and returns how many were done a second, and
// the latencies in milliseconds.
func (a *api) rate(clients int, span time.Duration, operation func(client *http.Client, i int64) error) (float64, []float64, error) {
	var next atomic.Int64
	var mu sync.Mutex // guards latencies, failed
	var latencies []float64
	var failed error
	var all sync.WaitGroup
	began := time.Now()
	for range clients {
		all.Go(func() {
			client := a.connection()
			defer client.CloseIdleConnections()
			var own []float64
			for time.Since(began) < span {
				at := time.Now()
				if err := operation(client, next.Add(1)); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
					return
				}
				own = append(own, milliseconds(time.Since(at)))
			}
			mu.Lock()
			latencies = append(latencies, own...)
			mu.Unlock()
		})
	}
	all.Wait()
	return float64(len(latencies)) / time.Since(began).Seconds(), latencies, failed
}

func measureAPI(binary string) ([]figure, error) {
	s, a, err := startAPI(binary)
	if err != nil {
		return nil, err
	}
	create := func(prefix string) func(*http.Client, int64) error {
		return func(client *http.Client, i int64) error {
			_, err := a.do(client, http.MethodPost, configMaps, "application/json", "application/json", configMap(fmt.Sprintf("%s-%d", prefix, i), 1000))
			return err
		}
	}
	one, oneLatency, err := a.rate(1, 3*time.Second, create("one"))
	if err != nil {
		return nil, err
	}
	many, manyLatency, err := a.rate(64, 5*time.Second, create("many"))
	if err != nil {
		return nil, err
	}
	gets, _, err := a.rate(64, 4*time.Second, func(client *http.Client, i int64) error {
		_, err := a.do(client, http.MethodGet, fmt.Sprintf("%s/many-%d", configMaps, i%1000+1), "", "application/json", nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	var lists []float64
	for range 9 {
		began := time.Now()
		if _, err := a.do(a.http, http.MethodGet, configMaps+"?limit=10000", "", "application/vnd.kubernetes.protobuf", nil); err != nil {
			return nil, err
		}
		lists = append(lists, milliseconds(time.Since(began)))
	}
	return []figure{
		{Name: "durable creates over HTTPS, 64 clients, 1 KB", Value: many, Unit: "/s", Budget: 5000, AtLeast: true},
		{Name: "  latency p50", Value: percentile(manyLatency, 0.5), Unit: "ms"},
		{Name: "  latency p99", Value: percentile(manyLatency, 0.99), Unit: "ms"},
		{Name: "durable creates, 1 client", Value: one, Unit: "/s"},
		{Name: "  latency p50", Value: percentile(oneLatency, 0.5), Unit: "ms"},
		{Name: "gets over HTTPS, 64 clients", Value: gets, Unit: "/s", Budget: 15000, AtLeast: true},
		{Name: "list of 10,000 (protobuf)", Value: median(lists), Unit: "ms", Budget: 25},
	}, s.down()
}
