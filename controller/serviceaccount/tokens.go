package serviceaccount

import (
	"bytes"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan/kind"
	"sampan/plan"
	"sampan/view"
)

// secret is everything that a decision about one Secret may know.
type secret struct {
	have    *corev1.Secret         // nil if it is gone or not for a token
	account *corev1.ServiceAccount // that it names, or nil
}

// NewTokens returns the controller of the Secrets of type kubernetes.io/service-account-token that people make: it fills
// in what a client needs beside the token, and removes the Secret when its account is not there, or another one of the
// name. caBundle is PEM.
//
// A Secret that says its account's UID is one that the API server puts the token into, in the same write. So the
// signature stays with the keys, and nobody sees half of it.
//
// https://kubernetes.io/docs/concepts/configuration/secret/#serviceaccount-token-secrets
func NewTokens(caBundle []byte) plan.Controller {
	return plan.Define("serviceaccount-token-controller", []plan.Watch{
		{Kind: kind.Secrets, Keys: func(_ *view.Snapshot, c view.Change) []view.Key {
			if s, ok := c.New.(*corev1.Secret); ok && s.Type == corev1.SecretTypeServiceAccountToken {
				return []view.Key{c.Key}
			}
			return nil
		}},
		{Kind: kind.ServiceAccounts, Keys: func(snap *view.Snapshot, c view.Change) (keys []view.Key) {
			for obj := range snap.All(kind.Secrets, c.Key.Namespace) {
				if s := obj.(*corev1.Secret); s.Type == corev1.SecretTypeServiceAccountToken && s.Annotations[corev1.ServiceAccountNameKey] == c.Key.Name {
					keys = append(keys, view.KeyOf(kind.Secrets, s))
				}
			}
			return keys
		}},
	}, func(snap *view.Snapshot, key view.Key, _ time.Time) secret {
		s, ok := view.Get[*corev1.Secret](snap, kind.Secrets, key.Namespace, key.Name)
		if !ok || s.Type != corev1.SecretTypeServiceAccountToken || s.DeletionTimestamp != nil {
			return secret{}
		}
		account, _ := view.Get[*corev1.ServiceAccount](snap, kind.ServiceAccounts, key.Namespace, s.Annotations[corev1.ServiceAccountNameKey])
		return secret{s, account}
	}, func(i secret, _ none) (plan.Plan, none) {
		return decideToken(i, caBundle), none{}
	})
}

func decideToken(i secret, caBundle []byte) (p plan.Plan) {
	s := i.have
	if s == nil {
		return p
	}
	uid := s.Annotations[corev1.ServiceAccountUIDKey]
	switch {
	case i.account == nil, uid != "" && uid != string(i.account.UID):
		p.Do(plan.Delete{Key: view.KeyOf(kind.Secrets, s), UID: s.UID, Revision: s.ResourceVersion})
	case s.Immutable != nil && *s.Immutable: // as it is for good
	case uid == "", !bytes.Equal(s.Data[corev1.ServiceAccountRootCAKey], caBundle), string(s.Data[corev1.ServiceAccountNamespaceKey]) != s.Namespace:
		next := s.DeepCopy()
		metav1.SetMetaDataAnnotation(&next.ObjectMeta, corev1.ServiceAccountUIDKey, string(i.account.UID))
		if next.Data == nil {
			next.Data = map[string][]byte{}
		}
		next.Data[corev1.ServiceAccountRootCAKey] = bytes.Clone(caBundle)
		next.Data[corev1.ServiceAccountNamespaceKey] = []byte(s.Namespace)
		p.Do(plan.Update{Object: next})
	}
	return p
}
