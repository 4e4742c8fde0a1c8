package apiserver

import (
	"cmp"
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/proxy"
	"k8s.io/streaming/pkg/httpstream"
)

// dialTimeout bounds how long a pod, service or node may take to accept a connection, as in upstream.
const dialTimeout = 30 * time.Second

// newProxyTransport returns what makes the connections to pods, services and nodes. Certificates are not looked at, as in
// upstream: nothing says which one a pod should have.
func newProxyTransport(dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Transport {
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	return &http.Transport{
		DialContext: dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		TLSHandshakeTimeout: dialTimeout, IdleConnTimeout: idleProxied, MaxIdleConnsPerHost: 2,
	}
}

// idleProxied is how long a connection is kept for the next request.
const idleProxied = 10 * time.Second

// proxy hands a request on to what a pod, a service or a node serves, at …/NAME/proxy/PATH.
func (x *exchange) proxy() error {
	target, err := parseProxyName(x.req.kind, x.route.name)
	if err != nil {
		return err
	}
	x.req.key.Name = target.name
	obj, err := x.server.get(x.req.key)
	if err != nil {
		return err
	}
	var host string
	switch obj := obj.(type) {
	case *corev1.Pod:
		host, err = podHost(obj, target.port)
	case *corev1.Service:
		var hosts []string
		if hosts, err = serviceHosts(x.server.cache.snapshot(), obj, target.port); err == nil {
			host = hosts[rand.IntN(len(hosts))]
		}
	case *corev1.Node:
		var elsewhere bool
		if host, elsewhere, err = nodeHost(obj, target.port); !elsewhere {
			return x.proxyToAgent(obj.Name)
		}
	}
	if err != nil {
		return err
	}
	location := &url.URL{Scheme: target.scheme, Host: host, Path: x.proxiedPath()}
	proxy.NewUpgradeAwareHandler(location, x.server.proxied, true, false, proxyErrors{}).ServeHTTP(x.w, x.r)
	return nil
}

// proxiedPath returns the path behind the subresource, as it is asked for; "" if there is none.
func (x *exchange) proxiedPath() string {
	if x.route.rest == "" {
		return ""
	}
	path := "/" + x.route.rest
	if strings.HasSuffix(x.r.URL.Path, "/") {
		path += "/"
	}
	return path
}

// proxyToAgent hands a request on to the agent of a node.
func (x *exchange) proxyToAgent(node string) error {
	if x.r.Method == http.MethodGet && httpstream.IsUpgradeRequest(x.r) {
		// A WebSocket begins with a GET, but who may only look at a node must not get into its pods by it.
		if err := x.authorizeVerb("create"); err != nil {
			return err
		}
	}
	handler, err := x.server.nodeHandler(x.r.Context(), node)
	if err != nil {
		return err
	}
	handler.ServeHTTP(x.w, x.toNode(cmp.Or(x.proxiedPath(), "/"), x.r.URL.RawQuery))
	return nil
}

// proxyErrors answers requests that cannot be handed on.
type proxyErrors struct{}

// Error implements proxy.ErrorResponder.
func (proxyErrors) Error(w http.ResponseWriter, r *http.Request, err error) { writeStatus(w, r, err) }
