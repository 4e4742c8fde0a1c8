package etcd_test

import (
	"os"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"sampan/store"
	"sampan/store/etcd"
	"sampan/store/etcdtest"
)

// An etcd that comes back without what it had must not be taken for the one that it was: this process would go on showing
// what is gone, and writes that it never shows.
func TestStoreWhoseDataAreLostIsUsedNoMore(t *testing.T) {
	const name = "lost"
	named := func(o *etcd.Options) { o.Name = name }
	empty := func(t *testing.T, server *etcdtest.Server) {
		server.Kill()
		if err := os.RemoveAll(server.Data); err != nil {
			t.Fatal(err)
		}
		server.Run(t)
	}
	const gone = "its data are gone"
	for _, c := range []struct {
		what string
		lose func(t *testing.T, server *etcdtest.Server, s *etcd.Store)
		says string // "" if every answer shows it; else what the newest state shows
	}{
		{"it is empty", func(t *testing.T, server *etcdtest.Server, _ *etcd.Store) { empty(t, server) }, "restart the server"},
		{"it is empty, and other programs have written more than before", func(t *testing.T, server *etcdtest.Server, s *etcd.Store) {
			empty(t, server)
			client := raw(t, server)
			for i := int64(0); i <= s.Revision(); i++ {
				if _, err := client.Put(t.Context(), "/other", ""); err != nil {
					t.Fatal(err)
				}
			}
		}, gone},
		{"another server has begun it anew, and written more than before", func(t *testing.T, server *etcdtest.Server, s *etcd.Store) {
			empty(t, server)
			other := open(t, server, named)
			for other.Revision() <= s.Revision() {
				put(t, other, "/new", "1", store.AnyRevision)
			}
		}, gone},
		{"it is an older copy", func(t *testing.T, server *etcdtest.Server, s *etcd.Store) {
			server.Kill()
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(server.Data)); err != nil {
				t.Fatal(err)
			}
			server.Run(t)
			awaitWrite(t, s, "/later")
			server.Kill()
			if err := os.RemoveAll(server.Data); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(server.Data, os.DirFS(copied)); err != nil {
				t.Fatal(err)
			}
			server.Run(t)
		}, ""},
	} {
		for first, try := range map[string]func(s *etcd.Store) error{
			"write": func(s *etcd.Store) error {
				_, err := s.Apply(t.Context(), store.Write{Key: "/b", Value: []byte("1")})
				return err
			},
			"get": func(s *etcd.Store) error { _, err := s.Get(t.Context(), "/a"); return err },
			"list": func(s *etcd.Store) error {
				_, err := s.List(t.Context(), "/", store.ListOptions{})
				return err
			},
			"catch up": func(s *etcd.Store) error { return s.CatchUp(t.Context()) },
		} {
			if c.says != "" && (first == "get" || first == "list") {
				continue
			}
			t.Run(c.what+", "+first, func(t *testing.T) {
				t.Parallel()
				server := etcdtest.Start(t, "http")
				s := open(t, server, named)
				for range 5 {
					put(t, s, "/a", "1", store.AnyRevision)
				}
				waiting := make(chan error, 1)
				go func() {
					for err := error(nil); ; err = s.Wait(t.Context(), s.Revision()) {
						if err != nil {
							waiting <- err
							return
						}
					}
				}()
				c.lose(t, server, s)
				check := func(what string, err error) {
					t.Helper()
					if err == nil || !strings.Contains(err.Error(), "restart the server") || !strings.Contains(err.Error(), server.Endpoint) || !strings.Contains(err.Error(), c.says) {
						t.Fatalf("%s: %v", what, err)
					}
				}
				for {
					err := try(s)
					if err != nil && strings.Contains(err.Error(), store.ErrUnavailable.Error()) {
						continue // until the connection is there again
					}
					check(first, err)
					break
				}
				check("wait", <-waiting)
				_, err := s.Events(t.Context(), 0, 0)
				check("events", err)
				_, err = s.Apply(t.Context(), store.Write{Key: "/c", Value: []byte("1")})
				check("a second write", err)
				got, err := raw(t, server).Get(t.Context(), "/sampan/"+name+"/c", clientv3.WithCountOnly())
				if err != nil || got.Count != 0 {
					t.Errorf("%d, %v: it was written all the same", got.Count, err)
				}
			})
		}
	}
}

// awaitWrite writes a key as soon as etcd can be reached.
func awaitWrite(t *testing.T, s *etcd.Store, key string) {
	t.Helper()
	for {
		_, err := s.Apply(t.Context(), store.Write{Key: key, Value: []byte("1"), Expect: store.AnyRevision})
		if err == nil {
			return
		}
		if !strings.Contains(err.Error(), store.ErrUnavailable.Error()) {
			t.Fatal(err)
		}
	}
}
