package sealed_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sampan/store"
	"sampan/store/embedded"
	"sampan/store/memory"
	"sampan/store/sealed"
	"sampan/store/storetest"
)

func keys(t *testing.T, names ...string) []sealed.Key {
	t.Helper()
	var text strings.Builder
	for _, name := range names {
		secret := bytes.Repeat([]byte(name[:1]), 32)
		fmt.Fprintf(&text, "%s:%s\n", name, base64.StdEncoding.EncodeToString(secret))
	}
	ks, err := sealed.ParseKeys([]byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	return ks
}

func TestSealedStoresKeepTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return sealed.New(memory.New(), keys(t, "a"), "/") })
}

func TestThePlainTextIsNotInTheStoreFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "store.db")
	below, err := embedded.Open(file, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	st := sealed.New(below, keys(t, "a"), "/secrets/")
	if _, err := st.Apply(t.Context(), store.Write{Key: "/secrets/ns/s", Value: []byte("hush-hush")}, store.Write{Key: "/configmaps/ns/c", Value: []byte("for-all")}); err != nil {
		t.Fatal(err)
	}
	if r, err := st.Get(t.Context(), "/secrets/ns/s"); err != nil || string(r.Value) != "hush-hush" {
		t.Errorf("read back: %q %v", r.Value, err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	var all []byte
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all = append(all, data...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(all, []byte("hush-hush")) {
		t.Error("the plain text is in the file")
	}
	if !bytes.Contains(all, []byte("k8s:enc:aesgcm:v1:a:")) || !bytes.Contains(all, []byte("for-all")) {
		t.Error("the file does not hold what it should: the test looks in the wrong place")
	}
}

func TestWhatIsSealedAndOpenedIsObserved(t *testing.T) {
	below := memory.New()
	var seen []string
	observed := func(names ...string) *sealed.Store {
		st := sealed.New(below, keys(t, names...), "/secrets/")
		st.Observe = func(op sealed.Operation) {
			seen = append(seen, fmt.Sprint(op.Key, " ", op.Sealing, " ", op.Err == nil))
		}
		return st
	}
	st := observed("a")
	for _, key := range []string{"/secrets/n/s", "/configmaps/n/c"} {
		if _, err := st.Apply(t.Context(), store.Write{Key: key, Value: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		if _, err := st.Get(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := observed("b").Get(t.Context(), "/secrets/n/s"); err == nil {
		t.Error("read without the key")
	}
	want := []string{"/secrets/n/s true true", "/secrets/n/s false true", "/secrets/n/s false false"}
	if !slices.Equal(seen, want) {
		t.Errorf("observed %q, want %q", seen, want)
	}
}

func TestKeysAreRotated(t *testing.T) {
	ctx, below := t.Context(), memory.New()
	write := func(st store.Store, key, value string) {
		t.Helper()
		if _, err := st.Apply(ctx, store.Write{Key: key, Value: []byte(value), Expect: store.AnyRevision}); err != nil {
			t.Fatal(err)
		}
	}
	read := func(st store.Store, key, want string) {
		t.Helper()
		if r, err := st.Get(ctx, key); err != nil || string(r.Value) != want {
			t.Errorf("%s: %q %v, want %q", key, r.Value, err, want)
		}
	}
	write(below, "/secrets/n/plain", "zero") // from before there was a key
	old := sealed.New(below, keys(t, "old"), "/secrets/")
	read(old, "/secrets/n/plain", "zero")
	write(old, "/secrets/n/one", "one")

	both := sealed.New(below, keys(t, "new", "old"), "/secrets/")
	read(both, "/secrets/n/one", "one")
	write(both, "/secrets/n/two", "two")
	if n, err := both.Reseal(ctx); n != 2 || err != nil {
		t.Errorf("sealed %d anew: %v, want the plain and the old one", n, err)
	}
	if n, err := both.Reseal(ctx); n != 0 || err != nil {
		t.Errorf("sealed %d anew: %v, want none", n, err)
	}

	alone := sealed.New(below, keys(t, "new"), "/secrets/")
	for name, value := range map[string]string{"plain": "zero", "one": "one", "two": "two"} {
		read(alone, "/secrets/n/"+name, value)
	}
	for what, st := range map[string]store.Store{
		"which is not among those":         sealed.New(below, keys(t, "other"), "/secrets/"),
		"cannot be decrypted with the key": sealed.New(below, sameName(t), "/secrets/"),
	} {
		if _, err := st.Get(ctx, "/secrets/n/one"); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("want %q: %v", what, err)
		}
		if _, err := st.List(ctx, "/", store.ListOptions{}); err == nil {
			t.Errorf("%s: the list is read", what)
		}
	}
}

func TestWhatIsSealedIsOpenedForGood(t *testing.T) {
	ctx, below := t.Context(), memory.New()
	if _, err := sealed.New(below, keys(t, "a"), "/secrets/").Apply(ctx, store.Write{Key: "/secrets/n/one", Value: []byte("one")}); err != nil {
		t.Fatal(err)
	}
	ks, err := sealed.ParseKeys([]byte("identity\na:" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("a"), 32))))
	if err != nil {
		t.Fatal(err)
	}
	st := sealed.New(below, ks, "/secrets/")
	if _, err := st.Apply(ctx, store.Write{Key: "/secrets/n/two", Value: []byte("two")}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1, 0} {
		if n, err := st.Reseal(ctx); n != want || err != nil {
			t.Errorf("opened %d: %v, want %d", n, err, want)
		}
	}
	for name, want := range map[string]string{"one": "one", "two": "two"} {
		if r, err := below.Get(ctx, "/secrets/n/"+name); err != nil || string(r.Value) != want {
			t.Errorf("%s is stored as %q, %v", name, r.Value, err)
		}
		if r, err := st.Get(ctx, "/secrets/n/"+name); err != nil || string(r.Value) != want {
			t.Errorf("%s is read as %q, %v", name, r.Value, err)
		}
	}
}

// sameName returns a key that has the name of another one.
func sameName(t *testing.T) []sealed.Key {
	t.Helper()
	ks, err := sealed.ParseKeys([]byte("new:" + base64.StdEncoding.EncodeToString(make([]byte, 16))))
	if err != nil {
		t.Fatal(err)
	}
	return ks
}

func TestValuesCannotBeMovedOrDamaged(t *testing.T) {
	ctx, below := t.Context(), memory.New()
	st := sealed.New(below, keys(t, "a"), "/secrets/")
	if _, err := st.Apply(ctx, store.Write{Key: "/secrets/n/a", Value: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	r, err := below.Get(ctx, "/secrets/n/a")
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(r.Value)
	damaged[len(damaged)-1] ^= 1
	for key, value := range map[string][]byte{
		"/secrets/n/moved":   r.Value,
		"/secrets/n/damaged": damaged,
		"/secrets/n/short":   []byte("k8s:enc:aesgcm:v1:a:abc"),
		"/secrets/n/noname":  []byte("k8s:enc:aesgcm:v1:"),
	} {
		if _, err := below.Apply(ctx, store.Write{Key: key, Value: value}); err != nil {
			t.Fatal(err)
		}
		if r, err := st.Get(ctx, key); err == nil {
			t.Errorf("%s reads as %q", key, r.Value)
		}
	}
}

func TestTheSameValueIsNeverSealedTwiceTheSameWay(t *testing.T) {
	ctx, below := t.Context(), memory.New()
	st := sealed.New(below, keys(t, "a"), "/secrets/")
	seen := make(map[string]bool)
	for range 10 {
		if _, err := st.Apply(ctx, store.Write{Key: "/secrets/n/a", Value: []byte("x"), Expect: store.AnyRevision}); err != nil {
			t.Fatal(err)
		}
		r, err := below.Get(ctx, "/secrets/n/a")
		if err != nil {
			t.Fatal(err)
		}
		seen[string(r.Value)] = true
	}
	if len(seen) != 10 {
		t.Errorf("ten seals are %d: a number is used twice with one key", len(seen))
	}
}

// Others' lists, events and writes are not ours to change, and what is not to be sealed stays as it is.
func TestOnlyItsOwnCopiesAreSealedAndOpened(t *testing.T) {
	ctx, below := t.Context(), memory.New()
	st := sealed.New(below, keys(t, "a"), "/secrets/")
	const looksSealed = "k8s:enc:aesgcm:v1:a:not at all"
	writes := []store.Write{{Key: "/configmaps/n/a", Value: []byte(looksSealed)}, {Key: "/secrets/n/a", Value: []byte("x")}}
	if _, err := st.Apply(ctx, writes...); err != nil {
		t.Fatal(err)
	}
	if string(writes[1].Value) != "x" {
		t.Errorf("the writer's own value is sealed: %q", writes[1].Value)
	}
	for range 2 { // the second time shows what the first has done
		list, err := st.List(ctx, "/", store.ListOptions{})
		if err != nil || len(list.Records) != 2 || string(list.Records[0].Value) != looksSealed || string(list.Records[1].Value) != "x" {
			t.Errorf("list %+v, %v", list.Records, err)
		}
		events, err := st.Events(ctx, 0, 0)
		if err != nil || len(events) != 2 || string(events[0].Value) != looksSealed || string(events[1].Value) != "x" {
			t.Errorf("events %+v, %v", events, err)
		}
		inside, err := below.Events(ctx, 0, 0)
		if err != nil || string(inside[0].Value) != looksSealed || !strings.HasPrefix(string(inside[1].Value), "k8s:enc:aesgcm:v1:a:") {
			t.Errorf("events of the store below %+v, %v", inside, err)
		}
		inList, err := below.List(ctx, "/secrets/", store.ListOptions{})
		if err != nil || !strings.HasPrefix(string(inList.Records[0].Value), "k8s:enc:aesgcm:v1:a:") {
			t.Errorf("list of the store below %+v, %v", inList.Records, err)
		}
	}
	if _, err := st.Apply(ctx, store.Write{Key: "/secrets/n/a", Expect: store.AnyRevision}); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Get(ctx, "/secrets/n/a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after its deletion: %v", err)
	}
	if events, err := st.Events(ctx, 1, 0); err != nil || len(events) != 1 || events[0].Value != nil {
		t.Errorf("the deletion is told as %+v, %v", events, err)
	}
}

func TestWithoutKeysWhatIsSealedIsAnError(t *testing.T) {
	ctx, below := t.Context(), memory.New()
	if _, err := sealed.New(below, keys(t, "a"), "/secrets/").Apply(ctx, store.Write{Key: "/secrets/n/a", Value: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	st := sealed.New(below, nil, "/secrets/")
	if _, err := st.Apply(ctx, store.Write{Key: "/secrets/n/b", Value: []byte("plain")}); err != nil {
		t.Fatal(err)
	}
	if r, err := below.Get(ctx, "/secrets/n/b"); err != nil || string(r.Value) != "plain" {
		t.Errorf("without keys it writes %q, %v", r.Value, err)
	}
	const want = `/secrets/n/a is encrypted with the key "a", and no keys were given: start the server with --encryption-key-file`
	_, err1 := st.Get(ctx, "/secrets/n/a")
	_, err2 := st.List(ctx, "/", store.ListOptions{})
	_, err3 := st.Events(ctx, 0, 0)
	for _, err := range []error{err1, err2, err3} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if n, err := st.Reseal(ctx); n != 0 || err != nil {
		t.Errorf("without keys %d are sealed anew, %v", n, err)
	}
}

// refusing is a store that refuses to write one key.
type refusing struct {
	store.Store
	key string
	err error
}

func (s refusing) Apply(ctx context.Context, writes ...store.Write) (int64, error) {
	if writes[0].Key == s.key {
		return 0, s.err
	}
	return s.Store.Apply(ctx, writes...)
}

func TestEverythingIsSealedAnew(t *testing.T) {
	ctx, below := t.Context(), memory.New()
	const many = 1100 // several pages
	for _, prefix := range []string{"/configmaps/", "/secrets/", "/tokens/"} {
		for i := 0; i < many; i += 100 {
			var writes []store.Write
			for j := range 100 {
				writes = append(writes, store.Write{Key: fmt.Sprintf("%sn/%04d", prefix, i+j), Value: []byte("x")})
			}
			if _, err := below.Apply(ctx, writes...); err != nil {
				t.Fatal(err)
			}
		}
	}
	down := errors.New("down")
	broken := sealed.New(refusing{below, "/secrets/n/0700", down}, keys(t, "a"), "/secrets/", "/tokens/")
	if n, err := broken.Reseal(ctx); n != 700 || !errors.Is(err, down) || !strings.Contains(err.Error(), "seal /secrets/n/0700 anew") {
		t.Errorf("%d are sealed before one cannot be: %v", n, err)
	}
	busy := sealed.New(refusing{below, "/secrets/n/0800", &store.ConflictError{}}, keys(t, "a"), "/secrets/", "/tokens/")
	if n, err := busy.Reseal(ctx); n != 2*many-700 || err != nil {
		t.Errorf("%d are sealed while others write: %v", n, err)
	}
	st := sealed.New(below, keys(t, "a"), "/secrets/", "/tokens/")
	if n, err := st.Reseal(ctx); n != 1 || err != nil { // what the other writer would have sealed
		t.Errorf("%d are left, %v", n, err)
	}
	list, err := below.List(ctx, "/", store.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	plain := 0
	for _, r := range list.Records {
		if string(r.Value) == "x" {
			plain++
		}
	}
	if plain != many {
		t.Errorf("%d of %d are plain, want those of the prefix that is not sealed", plain, len(list.Records))
	}
}

func TestKeyFilesSayWhatIsWrong(t *testing.T) {
	k16 := base64.StdEncoding.EncodeToString(make([]byte, 16))
	for text, want := range map[string]string{
		"":                        "no key",
		"# only a comment\n\n":    "no key",
		"abc":                     "line 1: want NAME:KEY",
		"a b:" + k16:              "line 1: want NAME:KEY",
		"a:***":                   "not base64",
		"a:" + k16 + "\nb:YWJj":   `line 2: key "b" has 3 bytes, want 16, 24 or 32`,
		"a:" + k16 + "\na:" + k16: "there twice",
		"a:" + k16 + "\nidentity": "line 2: identity must be the first",
	} {
		if _, err := sealed.ParseKeys([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if ks, err := sealed.ParseKeys([]byte("# the new one\nb:" + k16 + "\n\n a:" + k16 + " \n")); err != nil || len(ks) != 2 {
		t.Errorf("%d keys, %v", len(ks), err)
	}
}
