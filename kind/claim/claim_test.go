package claim_test

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan/kind/claim"
)

func pvc(options ...func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	c := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "data", UID: "c1"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("5Gi")}},
		},
	}
	for _, o := range options {
		o(c)
	}
	return c
}

func pv(name, size string, options ...func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	v := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"tier": name}},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce, corev1.ReadOnlyMany},
			Capacity:    corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)},
		},
		Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeAvailable},
	}
	for _, o := range options {
		o(v)
	}
	return v
}

func on(host string) func(*corev1.PersistentVolume) {
	return func(v *corev1.PersistentVolume) {
		v.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{host}}}}}}}
	}
}

// reserved for the claim of the name "data" with a UID; "" for whichever has the name.
func reserved(uid types.UID) func(*corev1.PersistentVolume) {
	return func(v *corev1.PersistentVolume) {
		v.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "default", Name: "data", UID: uid}
	}
}

func block(v *corev1.PersistentVolume) {
	mode := corev1.PersistentVolumeBlock
	v.Spec.VolumeMode = &mode
}

func TestFind(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{corev1.LabelHostname: "n1"}}}
	tier := func(c *corev1.PersistentVolumeClaim) {
		c.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "b"}}
	}
	shared := func(c *corev1.PersistentVolumeClaim) {
		c.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
	}
	for _, c := range []struct {
		name    string
		claim   *corev1.PersistentVolumeClaim
		volumes []*corev1.PersistentVolume
		node    *corev1.Node
		delayed bool
		taken   map[string]bool
		want    string
	}{
		{"smallest", pvc(), []*corev1.PersistentVolume{pv("a", "9Gi"), pv("b", "6Gi"), pv("c", "4Gi")}, nil, false, nil, "b"},
		{"first of equals", pvc(), []*corev1.PersistentVolume{pv("a", "9Gi"), pv("b", "9Gi")}, nil, false, nil, "a"},
		{"taken", pvc(), []*corev1.PersistentVolume{pv("a", "9Gi"), pv("b", "9Gi")}, nil, false, map[string]bool{"a": true}, "b"},
		{"selector", pvc(tier), []*corev1.PersistentVolume{pv("a", "5Gi"), pv("b", "9Gi")}, nil, false, nil, "b"},
		{"access mode", pvc(shared), []*corev1.PersistentVolume{pv("a", "5Gi")}, nil, false, nil, ""},
		{"block device", pvc(), []*corev1.PersistentVolume{pv("a", "5Gi", block)}, nil, false, nil, ""},
		{"reserved beats smaller", pvc(), []*corev1.PersistentVolume{pv("a", "5Gi"), pv("b", "50Gi", reserved(""))}, nil, false, nil, "b"},
		{"reserved for an earlier claim of that name", pvc(), []*corev1.PersistentVolume{pv("a", "5Gi", reserved("other"))}, nil, false, nil, ""},
		{"on the node", pvc(), []*corev1.PersistentVolume{pv("a", "5Gi", on("n2")), pv("b", "9Gi", on("n1"))}, node, true, nil, "b"},
		{"reserved elsewhere", pvc(), []*corev1.PersistentVolume{pv("a", "5Gi", on("n2"), reserved("")), pv("b", "9Gi")}, node, true, nil, ""},
		{"delayed without a node", pvc(), []*corev1.PersistentVolume{pv("a", "5Gi")}, nil, true, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if v := claim.Find(c.claim, slices.Values(c.volumes), c.node, c.delayed, c.taken); v != nil {
				got = v.Name
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestTopology(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"zone": "a", "disk": "ssd"}}}
	term := func(pairs ...string) (t corev1.TopologySelectorTerm) {
		for i := 0; i < len(pairs); i += 2 {
			t.MatchLabelExpressions = append(t.MatchLabelExpressions, corev1.TopologySelectorLabelRequirement{Key: pairs[i], Values: []string{pairs[i+1], "x"}})
		}
		return t
	}
	for _, c := range []struct {
		terms []corev1.TopologySelectorTerm
		want  bool
	}{
		{nil, true},
		{[]corev1.TopologySelectorTerm{term("zone", "a", "disk", "ssd")}, true},
		{[]corev1.TopologySelectorTerm{term("zone", "a", "disk", "hdd")}, false},
		{[]corev1.TopologySelectorTerm{term("zone", "b"), term("disk", "ssd")}, true},
		{[]corev1.TopologySelectorTerm{{}}, false},
	} {
		if got := claim.Topology(&storagev1.StorageClass{AllowedTopologies: c.terms}, node); got != c.want {
			t.Errorf("%v: got %t", c.terms, got)
		}
	}
}
