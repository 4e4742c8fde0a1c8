package apiserver_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"

	"sampan/apiserver"
	"sampan/apiserver/auth"
	"sampan/controller"
	"sampan/controller/serviceaccount"
	"sampan/plan"
)

// withController also runs the controller of Secrets for tokens.
func (g *secured) withController() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		err := controller.New(controller.Config{
			Client: g.server.Client(auth.User{Name: "system:sampan", Groups: []string{auth.GroupMasters}}), Now: g.clock, Log: slog.New(slog.DiscardHandler),
			Controllers: []plan.Controller{serviceaccount.NewTokens([]byte("PEM"))},
		}).Run(ctx)
		if err != nil {
			g.t.Error(err)
		}
	})
	g.t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

func tokenSecret(name, account string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{corev1.ServiceAccountNameKey: account}},
		Type:       corev1.SecretTypeServiceAccountToken,
	}
}

// await watches Secrets of a name until one is as it should be, or, for nil, until it is gone.
func await(t *testing.T, c *kubernetes.Clientset, name string, is func(*corev1.Secret) bool) *corev1.Secret {
	t.Helper()
	ctx := soon(t)
	w, err := c.CoreV1().Secrets("default").Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name, SendInitialEvents: new(true), AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	there := false
	for e := range w.ResultChan() {
		switch s, ok := e.Object.(*corev1.Secret); {
		case e.Type == watch.Bookmark && !there && is == nil, e.Type == watch.Deleted && is == nil:
			return nil
		case ok && e.Type != watch.Bookmark && e.Type != watch.Deleted:
			there = true
			if is != nil && is(s) {
				return s
			}
		}
	}
	t.Fatalf("secret %s is not what it should be", name)
	return nil
}

func hasToken(s *corev1.Secret) bool { return len(s.Data["token"]) > 0 }

func TestSecretsForTokensAreFilledInAndGoodAsLongAsTheyAreThere(t *testing.T) {
	g := newSecured(t)
	g.withController()
	admin, ctx := g.admin(), t.Context()
	secrets := admin.CoreV1().Secrets("default")
	g.account("web")
	create := func(s *corev1.Secret) {
		t.Helper()
		if _, err := secrets.Create(ctx, s, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	whoami := func(token []byte) (string, error) {
		r, err := g.withToken(string(token)).AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err != nil {
			return "", err
		}
		return r.Status.UserInfo.Username + " " + strings.Join(r.Status.UserInfo.Groups, ","), nil
	}
	refused := func(what string, token []byte) {
		t.Helper()
		_, err := whoami(token)
		wantError(t, what, err, apierrors.IsUnauthorized, "Unauthorized")
	}
	_, err := secrets.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "bad"}, Type: corev1.SecretTypeServiceAccountToken}, metav1.CreateOptions{})
	wantError(t, "no account named", err, apierrors.IsInvalid, "metadata.annotations[kubernetes.io/service-account.name]: Required value")

	create(tokenSecret("one", "web"))
	one := await(t, admin, "one", hasToken)
	account, err := admin.CoreV1().ServiceAccounts("default").Get(ctx, "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if one.Annotations[corev1.ServiceAccountUIDKey] != string(account.UID) || string(one.Data["ca.crt"]) != "PEM" || string(one.Data["namespace"]) != "default" {
		t.Errorf("filled in: %v %q", one.Annotations, one.Data)
	}
	var said map[string]any
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(string(one.Data["token"]), ".")[1])
	if err != nil || json.Unmarshal(payload, &said) != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprint(map[string]any{
		"iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:default:web",
		"kubernetes.io/serviceaccount/namespace": "default", "kubernetes.io/serviceaccount/secret.name": "one",
		"kubernetes.io/serviceaccount/service-account.name": "web", "kubernetes.io/serviceaccount/service-account.uid": string(account.UID),
	}); fmt.Sprint(said) != want {
		t.Errorf("claims %v", said)
	}
	const web = "system:serviceaccount:default:web system:serviceaccounts,system:serviceaccounts:default,system:authenticated"
	if who, err := whoami(one.Data["token"]); who != web {
		t.Errorf("%q %v", who, err)
	}
	g.now.Store(20 * 365 * 24 * 60 * 60)
	if who, err := whoami(one.Data["token"]); who != web {
		t.Errorf("after twenty years: %q %v", who, err)
	}
	g.now.Store(0)
	for audience, want := range map[string]bool{"": true, apiserver.DefaultTokenIssuer: true, "vault": false} {
		spec := authenticationv1.TokenReviewSpec{Token: string(one.Data["token"])}
		if audience != "" {
			spec.Audiences = []string{audience}
		}
		r, err := admin.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{Spec: spec}, metav1.CreateOptions{})
		if err != nil || r.Status.Authenticated != want {
			t.Errorf("review for %q: %+v %v", audience, r.Status, err)
		}
	}

	// Who removes the token gets it back, and another one in its place is none.
	update := func(name string, change func(*corev1.Secret)) (updated *corev1.Secret) {
		t.Helper()
		// The controller of these Secrets writes to them too.
		if err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
			s, err := secrets.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			change(s)
			updated, err = secrets.Update(ctx, s, metav1.UpdateOptions{})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return updated
	}
	again := update("one", func(s *corev1.Secret) { s.Data = nil })
	if who, err := whoami(again.Data["token"]); who != web {
		t.Errorf("after the token was removed: %q %v", who, err)
	}
	refused("the one before", one.Data["token"])
	forged := update("one", func(s *corev1.Secret) { s.Data["token"] = []byte("a.b.c") })
	refused("what somebody wrote", forged.Data["token"])
	one = update("one", func(s *corev1.Secret) { delete(s.Data, "token") })
	update("one", func(s *corev1.Secret) {
		s.Labels = map[string]string{"kubernetes.io/legacy-token-invalid-since": "2026-01-01"}
	})
	refused("marked invalid", one.Data["token"])
	update("one", func(s *corev1.Secret) { s.Labels = nil })
	if who, err := whoami(one.Data["token"]); who != web {
		t.Errorf("not marked any more: %q %v", who, err)
	}

	// A copy under another name is none, and the token ends with its Secret, and is not good for one of the same name.
	if err := secrets.Delete(ctx, "one", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	refused("of a Secret that is gone", one.Data["token"])
	create(tokenSecret("one", "web"))
	if next := await(t, admin, "one", hasToken); string(next.Data["token"]) != string(one.Data["token"]) {
		refused("of an older Secret of the name", one.Data["token"])
		one = next
	}

	// The Secret ends with its account, and one of the same name is another one.
	if err := admin.CoreV1().ServiceAccounts("default").Delete(ctx, "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, admin, "one", nil)
	g.account("web")
	refused("of an account that is gone", one.Data["token"])
	create(tokenSecret("lost", "nobody"))
	await(t, admin, "lost", nil)
}

func TestATokenIsForTheNameThatItsSecretGetsInTheEnd(t *testing.T) {
	chance := new(twice)
	g := newSecured(t, func(c *apiserver.Config) { c.Random = chance })
	g.account("web")
	account, err := g.admin().CoreV1().ServiceAccounts("default").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	chance.calls.Store(1) // so the second name is taken
	for range 2 {
		s := tokenSecret("", "web")
		s.GenerateName, s.Annotations[corev1.ServiceAccountUIDKey] = "s-", string(account.UID)
		if s, err = g.admin().CoreV1().Secrets("default").Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		names[s.Name] = true
		if _, err := g.withToken(string(s.Data["token"])).AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{}); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
	if len(names) != 2 || chance.calls.Load() != 4 {
		t.Errorf("names %v of %d", names, chance.calls.Load())
	}
}

// twice is a source of chance that says everything twice.
type twice struct{ calls atomic.Int64 }

func (s *twice) Uint64() uint64 { return uint64(s.calls.Add(1) / 2) }
