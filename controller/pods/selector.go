package pods

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Selector returns the selector by which an owner claims its pods. An empty one claims none: it would claim every
// pod of the namespace.
func Selector(s *metav1.LabelSelector) (labels.Selector, error) {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err == nil && selector.Empty() {
		selector = labels.Nothing()
	}
	return selector, err
}
