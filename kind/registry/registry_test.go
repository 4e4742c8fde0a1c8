package registry_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
	"pgregory.net/rapid"
	"sigs.k8s.io/randfill"

	"sampan/kind"
	"sampan/kind/kindtest"
	"sampan/kind/registry"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func eachKind(t *testing.T, test func(t *testing.T, k *kind.Kind)) {
	for _, k := range registry.New().All() {
		t.Run(string(k.ID), func(t *testing.T) { test(t, k) })
	}
}

func TestNamesAgreeWithTheAPI(t *testing.T) {
	for _, k := range registry.New().Served() {
		t.Run(k.GVK.String(), func(t *testing.T) { checkNames(t, k) })
	}
}

func checkNames(t *testing.T, k *kind.Kind) {
	gvks, _, err := scheme.Scheme.ObjectKinds(k.New())
	if err != nil || len(gvks) != 1 || gvks[0] != k.GVK {
		t.Errorf("GVK is %v, the API's Go type has %v (%v)", k.GVK, gvks, err)
	}
	plural, singular := meta.UnsafeGuessKindToResource(k.GVK)
	if k.ID == kind.Endpoints {
		plural = singular // the API's one name without a plural
	}
	if k.Singular != singular.Resource || k.GroupResource() != plural.GroupResource() {
		t.Errorf("names are %q and %q, want %q and %q", k.Singular, k.ID, singular.Resource, plural.GroupResource())
	}
	items := reflect.ValueOf(k.NewList()).Elem().FieldByName("Items")
	if items.Type().Elem() != reflect.TypeOf(k.New()).Elem() {
		t.Errorf("NewList has elements %v, New makes %T", items.Type().Elem(), k.New())
	}
	listKinds, _, err := scheme.Scheme.ObjectKinds(k.NewList())
	if err != nil || listKinds[0].Kind != k.GVK.Kind+"List" {
		t.Errorf("list is %v (%v)", listKinds, err)
	}
}

// TestVersionsConvert fills objects at random, and shows them in every version.
func TestVersionsConvert(t *testing.T) {
	eachKind(t, func(t *testing.T, k *kind.Kind) {
		for _, v := range k.Versions {
			rapid.Check(t, func(t *rapid.T) {
				obj := random(t, k, "obj")
				before := obj.DeepCopyObject().(kind.Object)
				shown := v.Shown(obj)
				if reflect.TypeOf(shown) != reflect.TypeOf(v.New()) {
					t.Fatalf("shown as a %T, want %T", shown, v.New())
				}
				kept := shown.DeepCopyObject().(kind.Object)
				back := v.Stored(shown)
				if reflect.TypeOf(back) != reflect.TypeOf(obj) {
					t.Fatalf("stored as a %T, want %T", back, obj)
				}
				same(t, "Shown or Stored changed a stored object", before, obj)
				same(t, "Stored changed its argument", kept, shown)
				if back.GetName() != obj.GetName() || back.GetUID() != obj.GetUID() || back.GetResourceVersion() != obj.GetResourceVersion() {
					t.Errorf("the metadata changed:\n%s", cmp.Diff(obj, back))
				}
				if v.Validate != nil {
					v.Validate(shown)
				}
			})
			if v.Field != nil && v.Field("no-such-field") != "" {
				t.Errorf("%s: a field that does not exist is selectable", v.GVK)
			}
		}
	})
}

func TestEveryFunctionIsThere(t *testing.T) {
	eachKind(t, func(t *testing.T, k *kind.Kind) {
		for name, missing := range map[string]bool{
			"Default": k.Default == nil, "PrepareCreate": k.PrepareCreate == nil, "PrepareUpdate": k.PrepareUpdate == nil,
			"Validate": k.Validate == nil, "ValidateUpdate": k.ValidateUpdate == nil, "Row": k.Row == nil,
		} {
			if missing {
				t.Errorf("%s is nil", name)
			}
		}
		for _, c := range k.Columns {
			if c.Description == "" || c.Name == "" || c.Type == "" {
				t.Errorf("column %+v lacks a name, type or description", c)
			}
		}
	})
}

func TestMinimalObjectIsValid(t *testing.T) {
	eachKind(t, func(t *testing.T, k *kind.Kind) {
		obj := kindtest.Minimal(k)
		k.Default(obj)
		k.PrepareCreate(obj)
		if errs := append(kind.ValidateMeta(k, obj), k.Validate(obj)...); len(errs) > 0 {
			t.Errorf("creation: %v", errs.ToAggregate())
		}
		next := obj.DeepCopyObject().(kind.Object)
		k.Default(next)
		k.PrepareUpdate(next, obj)
		if errs := append(kind.ValidateMetaUpdate(k, next, obj), k.ValidateUpdate(next, obj)...); len(errs) > 0 {
			t.Errorf("update: %v", errs.ToAggregate())
		}
		if d := cmp.Diff(obj, next); d != "" {
			t.Errorf("an update without a change changes the object:\n%s", d)
		}
	})
}

// TestRulesHoldForAnyObject fills objects at random.
func TestRulesHoldForAnyObject(t *testing.T) {
	eachKind(t, func(t *testing.T, k *kind.Kind) {
		rapid.Check(t, func(t *rapid.T) {
			obj, other := random(t, k, "obj"), random(t, k, "other")
			if rapid.Bool().Draw(t, "related") {
				other = obj.DeepCopyObject().(kind.Object)
				other.SetLabels(map[string]string{"changed": "yes"})
			}

			shared := obj.DeepCopyObject().(kind.Object)
			k.Default(obj.DeepCopyObject().(kind.Object))
			same(t, "Default changed what the object shared", shared, obj)

			k.Default(obj)
			once := obj.DeepCopyObject().(kind.Object)
			k.Default(obj)
			same(t, "Default is not idempotent", once, obj)

			k.Default(other)
			before := other.DeepCopyObject().(kind.Object)
			k.Validate(obj)
			k.ValidateUpdate(obj, other)
			if k.Warnings != nil {
				k.Warnings(obj)
			}
			k.WarningsForUpdate(obj, other)
			if k.Fields != nil {
				k.Fields(obj)
			}
			if k.GracePeriod != nil {
				k.GracePeriod(obj, nil)
			}
			if k.Scale != nil {
				k.Scale.Get(obj)
			}
			checkRow(t, k, obj)
			same(t, "a reading function changed its object", once, obj)

			k.PrepareUpdate(obj, other)
			if k.Status != nil {
				status := random(t, k, "status")
				k.Default(status)
				k.Status.PrepareUpdate(status, other)
				if k.Status.Validate != nil {
					k.Status.Validate(status, other)
				}
				if status.GetGeneration() != other.GetGeneration() {
					t.Errorf("a status update changed the generation")
				}
			}
			for _, part := range k.Parts {
				next := random(t, k, part.Name)
				k.Default(next)
				part.PrepareUpdate(next, other)
				if part.Validate != nil {
					part.Validate(next, other)
				}
				if part.Warnings != nil {
					part.Warnings(next, other)
				}
				scribble(reflect.ValueOf(next).Elem())
			}
			same(t, "the old object was changed", before, other)
			aliased(t, k, other, before)
			k.PrepareCreate(obj)
		})
	})
}

// aliased checks that a prepared object shares nothing with the stored one that a later step could write to.
func aliased(t *rapid.T, k *kind.Kind, old, before kind.Object) {
	next := old.DeepCopyObject().(kind.Object)
	k.PrepareUpdate(next, old)
	scribble(reflect.ValueOf(next).Elem())
	same(t, "a successor shares memory with its predecessor", before, old)
}

// scribble overwrites what the maps and slices of a value hold.
func scribble(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				scribble(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			scribble(v.Index(i))
			v.Index(i).SetZero()
		}
	case reflect.Map:
		if !v.IsNil() {
			v.Clear()
		}
	}
}

func checkRow(t *rapid.T, k *kind.Kind, obj kind.Object) {
	cells := k.Row(obj, now)
	if len(cells) != len(k.Columns) {
		t.Fatalf("row has %d cells, %d columns", len(cells), len(k.Columns))
	}
	for i, cell := range cells {
		switch c := cell.(type) {
		case int64, bool:
		case string:
			if k.Columns[i].Type == "integer" {
				t.Errorf("column %s is an integer, the cell is %q", k.Columns[i].Name, c)
			}
		default:
			t.Errorf("column %s has a cell of type %T", k.Columns[i].Name, cell)
		}
	}
}

func random(t *rapid.T, k *kind.Kind, label string) kind.Object {
	obj := k.New()
	words := []string{"", "a", "b", "a/b", "None", "Never", "Always", "RollingUpdate", "NodePort", "ExternalName", "10.0.0.1", "50%", "-x-"}
	f := randfill.NewWithSeed(rapid.Int64().Draw(t, label)).NilChance(0.5).NumElements(0, 2).MaxDepth(14).Funcs(
		func(s *string, c randfill.Continue) { *s = words[c.Intn(len(words))] },
		func(s *metav1.Time, c randfill.Continue) { *s = metav1.Unix(c.Int63n(1<<31), 0) },
		func(s *metav1.MicroTime, c randfill.Continue) {
			*s = metav1.NewMicroTime(time.Unix(c.Int63n(1<<31), 0))
		},
		func(q *resource.Quantity, c randfill.Continue) {
			*q = *resource.NewMilliQuantity(c.Int63n(5000)-500, resource.DecimalSI)
		},
		func(v *intstr.IntOrString, c randfill.Continue) {
			*v = intstr.FromInt32(c.Int31n(5))
			if c.Bool() {
				*v = intstr.FromString(words[c.Intn(len(words))])
			}
		},
		func(r *runtime.RawExtension, c randfill.Continue) {
			r.Raw = []byte([]string{`{}`, `null`, `{"a":1}`, `x`}[c.Intn(4)])
		},
		func(f *metav1.FieldsV1, c randfill.Continue) {},
	)
	f.Fill(obj)
	return obj
}

func same(t *rapid.T, complaint string, want, have kind.Object) {
	t.Helper()
	if !reflect.DeepEqual(want, have) {
		t.Fatalf("%s:\n%s", complaint, cmp.Diff(want, have))
	}
}

func TestGenerationCountsChangesOfTheSpecOnly(t *testing.T) {
	for _, id := range []kind.ID{kind.Deployments, kind.ReplicaSets, kind.StatefulSets, kind.ReplicationControllers} {
		k := registry.New().ByID(id)
		obj := kindtest.Minimal(k)
		k.Default(obj)
		k.PrepareCreate(obj)
		if obj.GetGeneration() != 1 {
			t.Errorf("%s: a new object has generation %d", id, obj.GetGeneration())
		}
		labelled := obj.DeepCopyObject().(kind.Object)
		labelled.SetLabels(map[string]string{"x": "y"})
		labelled.SetGeneration(7) // the writer's opinion
		k.PrepareUpdate(labelled, obj)
		if labelled.GetGeneration() != 1 {
			t.Errorf("%s: a label raised the generation to %d", id, labelled.GetGeneration())
		}
		scaled := obj.DeepCopyObject().(kind.Object)
		k.Scale.Set(scaled, 5)
		k.PrepareUpdate(scaled, obj)
		if replicas, _, selector := k.Scale.Get(scaled); scaled.GetGeneration() != 2 || replicas != 5 || selector != "app=a" {
			t.Errorf("%s: after scaling: generation %d, replicas %d, selector %q", id, scaled.GetGeneration(), replicas, selector)
		}
	}
}

func TestNamesAreHeldToTheirKind(t *testing.T) {
	for _, c := range []struct {
		id   kind.ID
		name string
		want string // "" for valid
	}{
		{kind.Pods, "a.b-c", ""},
		{kind.Pods, "A", "a lowercase RFC 1123 subdomain must consist of"},
		{kind.Services, "a-b", ""},
		{kind.Services, "1a", ""},
		{kind.Services, "a.b", "must not contain dots"},
		{kind.Namespaces, "a.b", "must not contain dots"},
		{kind.StatefulSets, "a.b", "must not contain dots"},
		{kind.Nodes, "node.example", ""},
		{kind.ClusterRoles, "system:node", ""},
		{kind.Roles, "a/b", "may not contain '/'"},
	} {
		k := registry.New().ByID(c.id)
		obj := kindtest.Minimal(k)
		obj.SetName(c.name)
		errs := kind.ValidateMeta(k, obj)
		switch {
		case c.want == "" && len(errs) > 0:
			t.Errorf("%s %q: %v", c.id, c.name, errs)
		case c.want != "" && (len(errs) != 1 || errs[0].Field != "metadata.name" || !strings.Contains(errs[0].Detail, c.want)):
			t.Errorf("%s %q: %v, want one about %q", c.id, c.name, errs, c.want)
		}
	}
}

func TestRegistryFindsAKindByAnyOfItsNames(t *testing.T) {
	r := registry.New()
	for _, k := range r.Served() {
		found, version := r.ByGVR(k.GroupResource().WithVersion(k.GVK.Version))
		if r.ServedAs(k.GVK) != found || found == nil || (version == nil) != (found == k) || version != nil && version.GVK != k.GVK {
			t.Errorf("%s is not found", k.GVK)
		}
	}
	for _, k := range r.All() {
		if r.ByID(k.ID) != k || r.ByGVK(k.GVK) != k || r.Of(k.New()) != k || kind.IDOf(k.GroupResource()) != k.ID {
			t.Errorf("%s is not found", k.ID)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a kind could be registered twice")
		}
	}()
	kind.NewRegistry(r.All()[0], r.All()[0])
}
