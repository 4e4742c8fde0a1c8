package plan

import (
	"hash/fnv"
	"strconv"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
)

// nameAlphabet is the alphabet of Kubernetes' generated names: no vowels and no look-alikes.
const nameAlphabet = "bcdfghjklmnpqrstvwxz2456789"

// suffixLength is the length of Kubernetes' generated suffixes.
const suffixLength = 5

// ChildName returns the name of an owner's child in a slot: base, cut if need be, with a suffix in
// Kubernetes' five-letter form that is a function of the owner's UID and the slot. A create that is
// repeated after a crash therefore meets "already exists" instead of making a second child.
// base usually ends in "-".
func ChildName(base string, owner types.UID, slot int) string {
	h := fnv.New64a()
	h.Write([]byte(owner))
	h.Write([]byte{'/'})
	h.Write(strconv.AppendInt(nil, int64(slot), 10))
	return cut(base) + suffix(mix(h.Sum64()))
}

func cut(base string) string {
	if limit := validation.DNS1123LabelMaxLength - suffixLength; len(base) > limit {
		return base[:limit]
	}
	return base
}

// mix spreads FNV's bits (splitmix64's finisher), so that neighbouring slots look unrelated.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

func suffix(x uint64) string {
	var b [suffixLength]byte
	for i := range b {
		b[i] = nameAlphabet[x%uint64(len(nameAlphabet))]
		x /= uint64(len(nameAlphabet))
	}
	return string(b[:])
}
