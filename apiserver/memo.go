package apiserver

import "sync"

// memo keeps the value of each key that was ever asked for. Metrics have their labelled series in one, because to
// find a series by its labels takes longer than to count in it. The zero value is ready; it is safe for concurrent use.
type memo[K comparable, V any] struct {
	mu   sync.RWMutex // guards made
	made map[K]V
}

// of returns the value of a key, which create makes if it is not there. Two callers at once may both make it; all get
// the same one.
func (m *memo[K, V]) of(key K, create func(K) V) V {
	m.mu.RLock()
	v, ok := m.made[key]
	m.mu.RUnlock()
	if ok {
		return v
	}
	v = create(key)
	m.mu.Lock()
	defer m.mu.Unlock()
	if first, ok := m.made[key]; ok {
		return first
	}
	if m.made == nil {
		m.made = make(map[K]V)
	}
	m.made[key] = v
	return v
}
