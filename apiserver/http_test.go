package apiserver_test

import (
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// TestObjectsLiveThroughEveryVerb walks an object through its life with the published client, in both encodings.
func TestObjectsLiveThroughEveryVerb(t *testing.T) {
	cfg := listen(t, newMemory(t))
	for name, change := range map[string]func(*rest.Config){
		"json":     func(*rest.Config) {},
		"protobuf": func(c *rest.Config) { c.ContentType = "application/vnd.kubernetes.protobuf" },
	} {
		t.Run(name, func(t *testing.T) {
			own := rest.CopyConfig(cfg)
			change(own)
			api := clientset(t, own).CoreV1().ConfigMaps("default")
			ctx := t.Context()
			made, err := api.Create(ctx, configMap(name), metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if made.UID == "" || made.ResourceVersion == "" || made.CreationTimestamp.IsZero() {
				t.Errorf("created object lacks metadata: %+v", made.ObjectMeta)
			}
			if _, err := api.Create(ctx, configMap(name), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
				t.Errorf("second create: %v", err)
			}
			got, err := api.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			got.Data["k"] = "w"
			updated, err := api.Update(ctx, got, metav1.UpdateOptions{})
			if err != nil || updated.Data["k"] != "w" || updated.ResourceVersion == got.ResourceVersion {
				t.Fatalf("update: %v %+v", err, updated)
			}
			got.Data["k"] = "stale"
			if _, err := api.Update(ctx, got, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
				t.Errorf("update of an old revision: %v", err)
			}
			same, err := api.Update(ctx, updated, metav1.UpdateOptions{})
			if err != nil || same.ResourceVersion != updated.ResourceVersion {
				t.Errorf("update without a change: %v, revision %s -> %s", err, updated.ResourceVersion, same.ResourceVersion)
			}
			patched, err := api.Patch(ctx, name, types.MergePatchType, []byte(`{"data":{"p":"1"}}`), metav1.PatchOptions{})
			if err != nil || patched.Data["p"] != "1" || patched.Data["k"] != "w" {
				t.Errorf("patch: %v %+v", err, patched)
			}
			list, err := api.List(ctx, metav1.ListOptions{})
			if err != nil || len(list.Items) != 1 || list.Items[0].Data["p"] != "1" {
				t.Errorf("list: %v %+v", err, list)
			}
			if err := api.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
				t.Errorf("delete: %v", err)
			}
			if _, err := api.Get(ctx, name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				t.Errorf("get after delete: %v", err)
			}
		})
	}
}
