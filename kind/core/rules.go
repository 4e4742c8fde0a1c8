package core

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// OneOf checks that a required field holds one of the values.
func OneOf[T ~string](path *field.Path, value T, allowed ...T) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return Supported(path, value, allowed...)
}

// Supported checks that a field holds one of the values. The empty text is one like any other.
func Supported[T ~string](path *field.Path, value T, allowed ...T) field.ErrorList {
	if slices.Contains(allowed, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, value, allowed)}
}

// NonNegative checks a count or a number of seconds; nil is fine.
func NonNegative[T int32 | int64](path *field.Path, value *T) field.ErrorList {
	if value == nil {
		return nil
	}
	return apivalidation.ValidateNonnegativeField(int64(*value), path)
}

// PositiveIntOrPercent checks a number of things that is given as such or as a percentage.
func PositiveIntOrPercent(path *field.Path, value intstr.IntOrString) field.ErrorList {
	if value.Type == intstr.String {
		return invalids(path, value, validation.IsValidPercent(value.StrVal))
	}
	return apivalidation.ValidateNonnegativeField(int64(value.IntVal), path)
}

// invalids makes an error of each message.
func invalids(path *field.Path, value any, messages []string) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range messages {
		errs = append(errs, field.Invalid(path, value, msg))
	}
	return errs
}

func qualifiedName(path *field.Path, name string) field.ErrorList {
	return invalids(path, name, validation.IsQualifiedName(name))
}

// dnsLabel checks a required name.
func dnsLabel(path *field.Path, name string) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	return invalids(path, name, validation.IsDNS1123Label(name))
}

func portNumber(path *field.Path, port int32) field.ErrorList {
	return invalids(path, port, validation.IsValidPortNum(int(port)))
}

// portNumberOrName checks a port that may refer to a container's port by name.
func portNumberOrName(path *field.Path, port intstr.IntOrString) field.ErrorList {
	if port.Type == intstr.String {
		return invalids(path, port.StrVal, validation.IsValidPortName(port.StrVal))
	}
	return portNumber(path, port.IntVal)
}

func protocol(path *field.Path, p corev1.Protocol) field.ErrorList {
	return OneOf(path, p, corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP)
}
