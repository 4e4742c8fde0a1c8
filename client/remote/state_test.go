package remote

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"pgregory.net/rapid"

	"sampan/kind"
	"sampan/kind/registry"
	"sampan/view"
)

func object(name string, uid, revision int64) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: name, UID: types.UID(fmt.Sprint(uid)), ResourceVersion: strconv.FormatInt(revision, 10),
	}}
}

// TestReadersOfChangesArriveAtTheSnapshot lets a server change, a connection deliver groups or everything anew, and a
// reader pull changes now and then: what the reader puts together must always be what the snapshot shows.
func TestReadersOfChangesArriveAtTheSnapshot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &Client{state: newState([]kind.ID{kind.ConfigMaps})}
		server := map[string]*corev1.ConfigMap{}
		var group []event
		revision, uid := int64(10), int64(0)
		names := rapid.SampledFrom([]string{"a", "b", "c"})

		reader := map[string]string{} // name to UID and revision
		at := int64(0)
		read := func() {
			changes, snap, ok := c.Since(at)
			if !ok {
				clear(reader)
				for m := range view.All[*corev1.ConfigMap](snap, kind.ConfigMaps, "") {
					reader[m.Name] = string(m.UID) + "@" + m.ResourceVersion
				}
			}
			for _, change := range changes {
				if change.Revision <= at || change.Revision > snap.Revision() {
					t.Fatalf("revision %d after %d, at %d", change.Revision, at, snap.Revision())
				}
				was, there := reader[change.Key.Name]
				if there != (change.Old != nil) || there && change.New != nil && was != string(change.Old.GetUID())+"@"+change.Old.GetResourceVersion() {
					t.Fatalf("%s changes from %v, the reader had %q", change.Key.Name, change.Old, was)
				}
				if change.New == nil {
					delete(reader, change.Key.Name)
				} else {
					reader[change.Key.Name] = string(change.New.GetUID()) + "@" + change.New.GetResourceVersion()
				}
			}
			if snap.Revision() < at {
				t.Fatalf("the view goes from %d to %d", at, snap.Revision())
			}
			at = snap.Revision()
			shown := map[string]string{}
			for m := range view.All[*corev1.ConfigMap](snap, kind.ConfigMaps, "") {
				shown[m.Name] = string(m.UID) + "@" + m.ResourceVersion
			}
			if !maps.Equal(shown, reader) {
				t.Fatalf("the reader has %v, the snapshot %v", reader, shown)
			}
		}
		whole := func() {
			var all []event
			for _, m := range server {
				all = append(all, event{watch.Added, kind.ConfigMaps, m})
			}
			if err := c.state.replace(all, revision); err != nil {
				t.Fatal(err)
			}
			group = nil
		}
		whole()
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				name := names.Draw(t, "name")
				if rapid.Bool().Draw(t, "new revision") {
					revision++ // otherwise of the same transaction, if nothing was sent since
				} else if len(group) == 0 {
					revision++
				} else if last := group[len(group)-1].obj; last.GetName() == name || last.GetResourceVersion() != fmt.Sprint(revision) {
					revision++
				} else {
					for _, e := range group {
						if e.obj.GetName() == name {
							revision++ // one write per object and transaction
							break
						}
					}
				}
				typ, id := watch.Added, uid+1
				if old := server[name]; old != nil {
					typ = watch.Modified
					id, _ = strconv.ParseInt(string(old.UID), 10, 64)
				} else {
					uid++
				}
				server[name] = object(name, id, revision)
				group = append(group, event{typ, kind.ConfigMaps, server[name]})
			},
			"remove": func(t *rapid.T) {
				name := names.Draw(t, "name")
				if old := server[name]; old != nil {
					revision++
					id, _ := strconv.ParseInt(string(old.UID), 10, 64)
					delete(server, name)
					group = append(group, event{watch.Deleted, kind.ConfigMaps, object(name, id, revision)})
				}
			},
			"deliver": func(t *rapid.T) {
				if err := c.state.apply(group, revision); err != nil {
					t.Fatal(err)
				}
				group = nil
			},
			"lose the connection": func(*rapid.T) { whole() },
			"read":                func(*rapid.T) { read() },
		})
		if err := c.state.apply(nil, revision-100); err == nil {
			t.Fatal("the view went back")
		}
	})
}

func TestReadersThatLagTooFarAreTold(t *testing.T) {
	c := &Client{state: newState([]kind.ID{kind.ConfigMaps})}
	if err := c.state.replace(nil, 1); err != nil {
		t.Fatal(err)
	}
	for r := int64(2); r < historyMax+20; r++ {
		if err := c.state.apply([]event{{watch.Added, kind.ConfigMaps, object(fmt.Sprint("m", r), r, r)}}, r); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, ok := c.Since(1); ok {
		t.Error("the first changes are still there")
	}
	if changes, snap, ok := c.Since(historyMax); !ok || len(changes) != 19 || snap.Len(kind.ConfigMaps) != historyMax+18 {
		t.Errorf("%d changes, %v, %d objects", len(changes), ok, snap.Len(kind.ConfigMaps))
	}
}

func FuzzStreamDecoder(f *testing.F) {
	raw, err := object("a", 1, 5).Marshal()
	if err != nil {
		f.Fatal(err)
	}
	u := runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, Raw: raw}
	data, err := u.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	e := metav1.WatchEvent{Type: "ADDED", Object: runtime.RawExtension{Raw: append([]byte(protoMagic), data...)}}
	frame, err := e.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 9, 1, 2})
	kinds := registry.New()
	f.Fuzz(func(t *testing.T, data []byte) {
		g := &group{kinds: kinds}
		for r := bytes.NewReader(data); ; {
			e, err := g.read(r)
			if err != nil {
				return
			}
			if e.obj == nil || e.id == "" {
				t.Errorf("read %+v", e)
			}
		}
	})
}
