package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clientcmd "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"

	"sampan/apiserver"
	"sampan/apiserver/admit"
	"sampan/apiserver/auth"
	"sampan/controller"
	"sampan/controller/serviceaccount"
	"sampan/kind/registry"
	"sampan/plan"
	"sampan/store"
	"sampan/store/memory"
)

// pipes is a listener without a network, since time stands still in a synctest bubble while sockets are waited for.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 6443} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// instanceOf is a server with the parts that have to do with identity, in a directory of its own.
type instanceOf struct {
	identities
	t      *testing.T
	server *apiserver.Server
	pipes  *pipes
}

func settingsOf(t *testing.T) Settings {
	t.Helper()
	cfg := DefaultConfig()
	cfg.DataDir, cfg.NodeName = t.TempDir(), "n"
	s, err := cfg.Check()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve starts one; stop it with the context.
func serve(ctx context.Context, t *testing.T, running *sync.WaitGroup, s Settings, st store.Store) *instanceOf {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	i := &instanceOf{t: t, pipes: newPipes()}
	if err := i.prepare(ctx, s, st, log, time.Now()); err != nil {
		t.Fatal(err)
	}
	var uids atomic.Int64
	var err error
	i.server, err = apiserver.New(apiserver.Config{
		Store: st, Kinds: registry.New(), Admission: admit.Default(admit.Config{}), Now: time.Now,
		NewUID: func() types.UID { return types.UID(fmt.Sprintf("%s-%d", s.DataDir, uids.Add(1))) },
		Random: rand.NewPCG(1, 2), ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"),
		ClientCAs: i.current.Load().pool, Tokens: i.current.Load().tokens,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := i.server.Bootstrap(ctx); err != nil {
		t.Fatal(err)
	}
	part := func(run func() error) {
		running.Go(func() {
			if err := run(); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		})
	}
	part(func() error { return i.server.Serve(ctx, i.pipes, i.tls()) })
	part(func() error { return i.server.Run(ctx) })
	part(func() error { return i.keepFresh(ctx, nil, i.server.Trust) })
	part(func() error {
		return i.eachBundle(ctx, func(ctx context.Context, bundle []byte) error {
			return controller.New(controller.Config{
				Client: i.server.Client(auth.User{Name: "system:sampan", Groups: []string{auth.GroupMasters}}), Now: time.Now, Log: log,
				Controllers: []plan.Controller{serviceaccount.New(), serviceaccount.NewRootCA(bundle), serviceaccount.NewTokens(bundle)},
			}).Run(ctx)
		})
	})
	return i
}

// credential is what somebody was given once, and uses until it ends.
type credential struct {
	what   string
	user   string
	roots  []byte
	config *tls.Config
	token  string
	until  time.Time
}

// kubeconfig returns the administrator's credential as it is on the disk.
func (i *instanceOf) kubeconfig() credential {
	i.t.Helper()
	data, err := os.ReadFile(i.settings.Kubeconfig)
	if err != nil {
		i.t.Fatal(err)
	}
	var file clientcmd.Config
	if err := yaml.Unmarshal(data, &file); err != nil {
		i.t.Fatal(err)
	}
	user := file.AuthInfos[0].AuthInfo
	pair, err := tls.X509KeyPair(user.ClientCertificateData, user.ClientKeyData)
	if err != nil {
		i.t.Fatal(err)
	}
	return credential{
		what: "kubeconfig of " + time.Now().Format(time.DateOnly), user: "kubernetes-admin", roots: file.Clusters[0].Cluster.CertificateAuthorityData,
		config: &tls.Config{Certificates: []tls.Certificate{pair}}, until: pair.Leaf.NotAfter,
	}
}

// do sends a request over a connection of its own.
func (i *instanceOf) do(c credential, method, path string, body, into any) error {
	config := &tls.Config{}
	if c.config != nil {
		config = c.config.Clone()
	}
	config.RootCAs, config.ServerName = x509.NewCertPool(), "kubernetes.default.svc"
	config.RootCAs.AppendCertsFromPEM(c.roots)
	transport := &http.Transport{DialContext: i.pipes.dial, TLSClientConfig: config, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(i.t.Context(), method, "https://kubernetes.default.svc"+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return json.Unmarshal(answer, into)
}

// knows reports whether a token is signed with a key of a set.
func knows(set jose.JSONWebKeySet, token string) bool {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return false
	}
	return slices.ContainsFunc(set.Keys, func(k jose.JSONWebKey) bool {
		return k.KeyID == parsed.Headers[0].KeyID && parsed.Claims(k.Key, &jwt.Claims{}) == nil
	})
}

// TestEverybodyGetsInForAsLongAsHisCredentialLasts runs two servers on one store for two and a half lives of an
// authority. Whatever anybody was ever given, a kubeconfig, a token, or the authorities that pods trust, is good at
// either server until it ends.
func TestEverybodyGetsInForAsLongAsHisCredentialLasts(t *testing.T) {
	settings := []Settings{settingsOf(t), settingsOf(t)}
	const day = 24 * time.Hour
	synctest.Test(t, func(t *testing.T) {
		st := memory.New()
		defer st.Close()
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer time.Sleep(time.Minute) // connections take a moment to end
		defer running.Wait()
		defer cancel()
		servers := []*instanceOf{serve(ctx, t, &running, settings[0], st), serve(ctx, t, &running, settings[1], st)}
		synctest.Wait()
		first := servers[0].kubeconfig()
		if err := servers[1].do(first, "POST", "/api/v1/namespaces/default/serviceaccounts", &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "web"}}, new(corev1.ServiceAccount)); err != nil {
			t.Fatal(err)
		}

		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "web", Annotations: map[string]string{corev1.ServiceAccountNameKey: "web"}}, Type: corev1.SecretTypeServiceAccountToken}
		if err := servers[0].do(first, "POST", "/api/v1/namespaces/default/secrets", secret, new(corev1.Secret)); err != nil {
			t.Fatal(err)
		}
		lasting := "" // the token in it, for ever

		begin := time.Now()
		var given []credential
		var jwks jose.JSONWebKeySet // as a verifier has fetched it at the last step
		var requests, bundles, steps int
		check := func(c credential, at *instanceOf) {
			t.Helper()
			requests++
			var who authenticationv1.SelfSubjectReview
			if err := at.do(c, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", &who, &who); err != nil || who.Status.UserInfo.Username != c.user {
				t.Fatalf("at %s, %s: %q, %v", time.Now(), c.what, who.Status.UserInfo.Username, err)
			}
		}
		get := func(at *instanceOf, path string, into any) {
			t.Helper()
			if err := at.do(at.kubeconfig(), "GET", path, nil, into); err != nil {
				t.Fatalf("at %s, %s: %v", time.Now(), path, err)
			}
		}
		step := func() {
			synctest.Wait()
			steps++
			given = slices.DeleteFunc(given, func(c credential) bool { return !time.Now().Before(c.until) })
			for n, s := range servers {
				if c := s.kubeconfig(); !slices.ContainsFunc(given, func(g credential) bool { return g.until.Equal(c.until) && bytes.Equal(g.roots, c.roots) }) {
					given = append(given, c)
				}
				// A pod has the authorities of its namespace and a token that it has just got.
				var ca corev1.ConfigMap
				get(s, "/api/v1/namespaces/default/configmaps/kube-root-ca.crt", &ca)
				if ca.Data["ca.crt"] != string(s.current.Load().bundle) {
					t.Errorf("at %s pods do not have the authorities", time.Now())
				}
				var r authenticationv1.TokenRequest
				r.Spec.ExpirationSeconds = new(int64(apiserver.MaxTokenLife / time.Second))
				if err := s.do(s.kubeconfig(), "POST", "/api/v1/namespaces/default/serviceaccounts/web/token", &r, &r); err != nil {
					t.Fatal(err)
				}
				if len(jwks.Keys) > 0 && !knows(jwks, r.Status.Token) {
					t.Errorf("at %s a token is signed with a key that was not published before", time.Now())
				}
				var held corev1.Secret
				get(s, "/api/v1/namespaces/default/secrets/web", &held)
				if lasting == "" {
					lasting = string(held.Data["token"])
				}
				check(credential{what: "token in a Secret", user: "system:serviceaccount:default:web", roots: held.Data["ca.crt"], token: lasting}, s)
				if steps%5 == n {
					given = append(given, credential{what: "token of " + time.Now().Format(time.DateOnly), user: "system:serviceaccount:default:web", roots: []byte(ca.Data["ca.crt"]),
						token: r.Status.Token, until: r.Status.ExpirationTimestamp.Time})
				}
			}
			for n, c := range given {
				check(c, servers[(steps+n)%len(servers)])
			}
			get(servers[0], "/openid/v1/jwks", &jwks)
			if n := len(jwks.Keys); n < 1 || n > 3 {
				t.Errorf("at %s %d keys are published", time.Now(), n)
			}
			if a, b := servers[0].current.Load(), servers[1].current.Load(); a.revision != b.revision {
				t.Errorf("at %s the servers do not agree", time.Now())
			}
		}
		for time.Since(begin) < 25*365*day {
			before := servers[0].current.Load()
			step()
			next := time.Now().Add(150 * day)
			// The moments around a change are the interesting ones.
			if at := servers[0].current.Load().until; at.Before(next) {
				time.Sleep(time.Until(at) - time.Second)
				step()
				next = at.Add(time.Second)
			}
			time.Sleep(time.Until(next))
			if !bytes.Equal(servers[0].current.Load().bundle, before.bundle) {
				bundles++
			}
		}
		if requests < 500 || bundles < 4 {
			t.Errorf("only %d requests, %d sets of authorities: the test looked in the wrong place", requests, bundles)
		}
		if err := servers[0].do(first, "GET", "/version", nil, new(struct{})); err == nil || !strings.Contains(err.Error(), "x509") {
			t.Errorf("who knows only the first authority trusts the third: %v", err)
		}
		if info, err := os.Stat(settings[0].Kubeconfig); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v %v", info.Mode(), err)
		}
		if data, err := os.ReadFile(filepath.Join(settings[0].pkiDir(), "ca.crt")); err != nil || !bytes.Equal(data, servers[0].current.Load().bundle) {
			t.Errorf("ca.crt: %v", err)
		}
	})
}
