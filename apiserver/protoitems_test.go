package apiserver_test

import (
	"encoding/json"
	"reflect"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/randfill"

	"sampan/apiserver/patch"
	"sampan/kind/registry"
)

// TestItemsOfProtobufAreTheItemsOfJSON fills objects of every kind at random and checks that their protobuf form is
// allowed the number of items that their JSON form has in lists, and they have in maps, and no less.
func TestItemsOfProtobufAreTheItemsOfJSON(t *testing.T) {
	objects := []runtime.Object{&authenticationv1.TokenReview{}, &authenticationv1.TokenRequest{}, &authorizationv1.SubjectAccessReview{}, &metav1.DeleteOptions{}}
	for _, k := range registry.New().Served() {
		objects = append(objects, k.New())
	}
	fill := randfill.NewWithSeed(1).NilChance(0.2).NumElements(1, 3).MaxDepth(20).Funcs(
		func(q *resource.Quantity, c randfill.Continue) {
			*q = *resource.NewQuantity(int64(c.Intn(9)), resource.DecimalSI)
		},
		func(v *intstr.IntOrString, c randfill.Continue) { *v = intstr.FromInt32(c.Int31n(5)) },
		func(r *runtime.RawExtension, _ randfill.Continue) { r.Raw = []byte(`{}`) },
		func(f *metav1.FieldsV1, _ randfill.Continue) { f.Raw = []byte(`{}`) },
		func(s *metav1.Time, c randfill.Continue) { *s = metav1.Unix(c.Int63n(1<<31), 0) },
		func(s *metav1.MicroTime, c randfill.Continue) { s.Time = metav1.Unix(c.Int63n(1<<31), 0).Time },
	)
	counted := 0
	for _, obj := range objects {
		for range 5 {
			fill.Fill(obj)
			text, err := json.Marshal(obj)
			if err != nil {
				t.Fatal(err)
			}
			var value any
			if err := json.Unmarshal(text, &value); err != nil {
				t.Fatal(err)
			}
			items := jsonItems(value) + mapMembers(reflect.ValueOf(obj))
			data, err := obj.(interface{ Marshal() ([]byte, error) }).Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if err := patch.CheckProtoItems(data, reflect.TypeOf(obj), items); err != nil {
				t.Fatalf("%T with %d items: %v", obj, items, err)
			}
			if items > 0 && patch.CheckProtoItems(data, reflect.TypeOf(obj), items-1) == nil {
				t.Fatalf("%T: less than %d items were found in\n%s", obj, items, text)
			}
			counted += items
		}
	}
	if counted < 10_000 {
		t.Errorf("only %d items were looked at", counted)
	}
}

func jsonItems(value any) int {
	n := 0
	switch v := value.(type) {
	case []any:
		n = len(v)
		for _, item := range v {
			n += jsonItems(item)
		}
	case map[string]any:
		for _, item := range v {
			n += jsonItems(item)
		}
	}
	return n
}

// mapMembers returns how many members all maps in a value have. In JSON they cannot be told from structs.
func mapMembers(v reflect.Value) int {
	n := 0
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			n = mapMembers(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				n += mapMembers(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			n += mapMembers(v.Index(i))
		}
	case reflect.Map:
		n = v.Len()
		for _, key := range v.MapKeys() {
			n += mapMembers(v.MapIndex(key))
		}
	}
	return n
}

// TestPackedNumbersAreItems checks the form in which other writers of protobuf send lists of numbers.
func TestPackedNumbersAreItems(t *testing.T) {
	type group struct {
		Numbers []int64 `protobuf:"varint,3,rep,name=numbers"`
	}
	packed := []byte{3<<3 | 2, 4, 1, 0x80, 1, 2} // 1, 128, 2
	single := []byte{3 << 3, 1, 3 << 3, 0x80, 1, 3 << 3, 2}
	for _, data := range [][]byte{packed, single} {
		if err := patch.CheckProtoItems(data, reflect.TypeFor[*group](), 3); err != nil {
			t.Errorf("%v: %v", data, err)
		}
		if patch.CheckProtoItems(data, reflect.TypeFor[*group](), 2) == nil {
			t.Errorf("%v: three numbers are two", data)
		}
	}
}
