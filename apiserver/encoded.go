package apiserver

import (
	"encoding/json"
	"sync"

	"sampan/kind"
)

// encodings keeps the JSON and protobuf forms of published objects, made when first asked for, so that an object
// version is encoded once for all gets, lists and watches. Its size is bounded: entries live in two generations,
// and when the young one has grown to half of the bound, the old one is dropped and the young one becomes old.
// What is still used moves back to the young one.
type encodings struct {
	max int // bytes, both generations together

	mu         sync.Mutex // guards everything below
	young, old map[kind.Object]*encoded
	bytes      int // in young
}

// encoded is the forms of one object version. Its own lock makes every form once, whoever asks first.
type encoded struct {
	mu    sync.Mutex
	json  []byte // with kind and apiVersion, without a newline
	proto []byte // the bare message, without an envelope
}

func newEncodings(max int) *encodings {
	return &encodings{max: max, young: map[kind.Object]*encoded{}, old: map[kind.Object]*encoded{}}
}

// json returns an object's JSON. The bytes are shared and read-only.
func (e *encodings) json(obj kind.Object) ([]byte, error) {
	x := e.entry(obj)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.json == nil {
		data, err := json.Marshal(obj)
		if err != nil {
			return nil, notEncoded(obj, err)
		}
		x.json = data
		e.grown(len(data))
	}
	return x.json, nil
}

// proto returns an object's protobuf message, without an envelope. The bytes are shared and read-only.
func (e *encodings) proto(obj kind.Object) ([]byte, error) { return e.protoOf(e.entry(obj), obj) }

func (e *encodings) protoOf(x *encoded, obj kind.Object) ([]byte, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.proto == nil {
		m, err := messageOf(obj)
		if err != nil {
			return nil, err
		}
		data := make([]byte, m.Size())
		if err := marshalExactly(m, data); err != nil {
			return nil, notEncoded(obj, err)
		}
		x.proto = data
		e.grown(len(data))
	}
	return x.proto, nil
}

// protos returns the protobuf messages of many objects, or nil if they are more than should be kept.
func (e *encodings) protos(objs []kind.Object) ([][]byte, error) {
	out := make([][]byte, len(objs))
	size := 0
	const batch = 256 // so that others get the lock in between
	for from := 0; from < len(objs); from += batch {
		some := objs[from:min(from+batch, len(objs))]
		var entries [batch]*encoded
		e.mu.Lock()
		for i, obj := range some {
			entries[i] = e.entryLocked(obj)
		}
		e.mu.Unlock()
		for i, obj := range some {
			data, err := e.protoOf(entries[i], obj)
			if err != nil {
				return nil, err
			}
			out[from+i] = data
			if size += len(data) + entryOverhead; size > e.max/2 {
				return nil, nil
			}
		}
	}
	return out, nil
}

// forget drops the forms of an object version that has a successor.
func (e *encodings) forget(obj kind.Object) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.young, obj)
	delete(e.old, obj)
}

func (e *encodings) entry(obj kind.Object) *encoded {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.entryLocked(obj)
}

func (e *encodings) entryLocked(obj kind.Object) *encoded {
	if x := e.young[obj]; x != nil {
		return x
	}
	x := e.old[obj]
	if x == nil {
		x = new(encoded)
	} else {
		delete(e.old, obj)
	}
	e.young[obj] = x
	return x
}

// entryOverhead is roughly what an entry takes beside its bytes.
const entryOverhead = 128

func (e *encodings) grown(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.bytes += n + entryOverhead; e.bytes > e.max/2 {
		e.old, e.young, e.bytes = e.young, map[kind.Object]*encoded{}, 0
	}
}
