package apiserver_test

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// However a selector is answered (by name, by a pod's node or by looking at everything), whole or in pages, a list holds
// what the selector selects of all there is, in the order of all lists.
func TestSelectionsHoldWhatTheySelectInEveryPage(t *testing.T) {
	s := newMemory(t)
	ctx := t.Context()
	for _, ns := range []string{"a", "a-b", "b"} { // "a-b/x" comes before "a/x"
		must(t, s.Client(masters()), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}})
		for i := range 4 {
			p := pod(fmt.Sprint("p", i))
			p.Namespace, p.Spec.NodeName, p.Labels = ns, []string{"n1", "n2", "n1", ""}[i], map[string]string{"i": fmt.Sprint(i % 2)}
			must(t, s.Client(masters()), p)
		}
	}
	c := clientset(t, listen(t, s)).CoreV1()
	all, err := c.Pods("").List(ctx, metav1.ListOptions{})
	if err != nil || len(all.Items) != 12 {
		t.Fatalf("%d pods, %v", len(all.Items), err)
	}
	name := func(p *corev1.Pod) string { return p.Namespace + "/" + p.Name }
	for _, namespace := range []string{"", "a", "a-b", "none"} {
		for _, o := range []metav1.ListOptions{
			{},
			{FieldSelector: "metadata.name=p1"},
			{FieldSelector: "metadata.name=none"},
			{FieldSelector: "metadata.name!=p1"},
			{FieldSelector: "metadata.namespace=a"},
			{FieldSelector: "metadata.name=p2,metadata.namespace=a-b"},
			{FieldSelector: "spec.nodeName=n1"},
			{FieldSelector: "spec.nodeName=n1,metadata.name=p2"},
			{FieldSelector: "spec.nodeName=none"},
			{FieldSelector: "spec.nodeName="},
			{FieldSelector: "spec.nodeName!=n1"},
			{LabelSelector: "i=1"},
			{LabelSelector: "i=0", FieldSelector: "spec.nodeName=n1"},
			{LabelSelector: "i=1", FieldSelector: "spec.nodeName=n1"},
		} {
			byLabel, err := labels.Parse(o.LabelSelector)
			if err != nil {
				t.Fatal(err)
			}
			byField := fields.ParseSelectorOrDie(o.FieldSelector)
			var want []string
			for i := range all.Items {
				p := &all.Items[i]
				set := fields.Set{"metadata.name": p.Name, "metadata.namespace": p.Namespace, "spec.nodeName": p.Spec.NodeName}
				if (namespace == "" || p.Namespace == namespace) && byLabel.Matches(labels.Set(p.Labels)) && byField.Matches(set) {
					want = append(want, name(p))
				}
			}
			for limit := range int64(4) {
				o.Limit, o.Continue = limit, ""
				var got []string
				for {
					page, err := c.Pods(namespace).List(ctx, o)
					if err != nil {
						t.Fatal(err)
					}
					for i := range page.Items {
						got = append(got, name(&page.Items[i]))
					}
					if limit > 0 && (int64(len(page.Items)) > limit || page.Continue != "" && int64(len(page.Items)) < limit) {
						t.Errorf("a page of %d holds %d", limit, len(page.Items))
					}
					if o.Continue = page.Continue; o.Continue == "" {
						break
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("namespace %q, fields %q, labels %q, pages of %d: %v, want %v", namespace, o.FieldSelector, o.LabelSelector, limit, got, want)
				}
			}
		}
	}
}
