package plan_test

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"sampan/plan"
)

func TestChildNameIsAFunctionOfOwnerAndSlot(t *testing.T) {
	if a, b := plan.ChildName("web-", "u1", 3), plan.ChildName("web-", "u1", 3); a != b {
		t.Errorf("%s and %s for the same slot", a, b)
	}
	if a, b := plan.ChildName("web-", "u1", 3), plan.ChildName("web-", "u2", 3); a == b {
		t.Errorf("two owners share the name %s", a)
	}
}

func TestChildNamesOfTenThousandSlotsAreMostlyDistinct(t *testing.T) {
	// 27^5 names: about 3.5 pairs in 10,000 are expected to meet by chance.
	seen := map[string]int{}
	twice := 0
	for slot := range 10_000 {
		name := plan.ChildName("web-", types.UID("6f9619ff-8b86-d011-b42d-00cf4fc964ff"), slot)
		if _, ok := seen[name]; ok {
			twice++
		}
		seen[name] = slot
		if errs := validation.IsDNS1123Label(name); len(errs) > 0 {
			t.Fatalf("%s: %v", name, errs)
		}
	}
	if twice > 20 {
		t.Errorf("%d of 10,000 names are taken twice", twice)
	}
}

func TestChildNameCutsALongBase(t *testing.T) {
	for _, n := range []int{1, 57, 58, 59, 200} {
		name := plan.ChildName(strings.Repeat("a", n), "u", 0)
		if len(name) > validation.DNS1123LabelMaxLength {
			t.Errorf("base of %d letters: the name has %d", n, len(name))
		}
	}
}

func ExampleChildName() {
	fmt.Println(len(plan.ChildName("web-7f4c-", "8c1c9f0e", 0)))
	// Output: 14
}
