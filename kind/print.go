package kind

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

// Column describes a column that kubectl prints by default.
func Column(name, typ, description string) metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: name, Type: typ, Description: description}
}

// WideColumn describes a column that kubectl prints with -o wide only.
func WideColumn(name, typ, description string) metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: name, Type: typ, Description: description, Priority: 1}
}

// NameColumn is the first column of every kind.
func NameColumn() metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: "Name", Type: "string", Format: "name",
		Description: "Name of the object, unique among the objects of its kind in its namespace."}
}

// AgeColumn is the column that [Age] fills.
func AgeColumn() metav1.TableColumnDefinition {
	return Column("Age", "string", "Time since the object was created.")
}

// Age prints the time since an object was created, in kubectl's short form ("5d3h").
func Age(obj Object, now time.Time) string { return Since(obj.GetCreationTimestamp(), now) }

// Since prints the time from t to now in kubectl's short form, or "<unknown>" when t is not set.
func Since(t metav1.Time, now time.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(now.Sub(t.Time))
}

// CreatedAt prints when an object was created, as kubectl does for kinds that show no age.
func CreatedAt(obj Object) string {
	return obj.GetCreationTimestamp().UTC().Format(time.RFC3339)
}
