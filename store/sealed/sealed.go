// Package sealed encrypts what a store keeps under some keys, with AES-GCM, so that neither the store's files nor
// its copies show it.
//
// A [Store] is a store.Store over another one and keeps its contract. A sealed value begins with
// "k8s:enc:aesgcm:v1:<key>:", as upstream's do, then come a random nonce and the encrypted value, which is bound to
// the key that it is stored under, so that it cannot be moved to another one. Values that are not sealed are read as
// they are. New values are sealed with the first of the keys; the others are for reading, until [Store.Reseal] has
// written everything anew.
//
// A value whose key is not there makes reads fail with an error that names the object and the key. So a store without
// keys, which seals nothing, tells what is sealed from what is garbage.
package sealed

import (
	"bufio"
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"sampan/store"
)

// Key is a named AES key, or the key that seals nothing.
type Key struct {
	name string
	aead cipher.AEAD // nil for the key that seals nothing
}

// identity is the line of the key that seals nothing, named as upstream names its provider that does not encrypt.
const identity = "identity"

// ParseKeys reads keys, one on a line: a name, a colon and 16, 24 or 32 bytes in base64. Empty lines and lines that
// begin with # are skipped. The first key seals; if the first line is "identity", nothing is sealed, and what is sealed is
// opened by [Store.Reseal].
func ParseKeys(data []byte) ([]Key, error) {
	name := regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
	var keys []Key
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if line == identity {
			if len(keys) > 0 {
				return nil, fmt.Errorf("line %d: %s must be the first: what is not encrypted is read in any case", n, identity)
			}
			keys = append(keys, Key{name: identity})
			continue
		}
		id, text, ok := strings.Cut(line, ":")
		if !ok || !name.MatchString(id) {
			return nil, fmt.Errorf("line %d: want NAME:KEY, where NAME is of letters, digits, dots, dashes and underscores", n)
		}
		secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("line %d: key %q is not base64", n, id)
		}
		block, err := aes.NewCipher(secret)
		if err != nil {
			return nil, fmt.Errorf("line %d: key %q has %d bytes, want 16, 24 or 32", n, id, len(secret))
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, fmt.Errorf("line %d: key %q: %w", n, id, err)
		}
		if slices.ContainsFunc(keys, func(k Key) bool { return k.name == id }) {
			return nil, fmt.Errorf("line %d: key %q is there twice", n, id)
		}
		keys = append(keys, Key{id, aead})
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errors.New("no key in it")
	}
	return keys, nil
}

// Prefix is what every sealed value begins with.
const Prefix = "k8s:enc:aesgcm:v1:"

// Operation is one value that was sealed or opened.
type Operation struct {
	Key     string // in the store
	Sealing bool   // else it was opened
	Took    time.Duration
	Err     error
}

// Store seals what stands under its prefixes. All methods are safe for concurrent use.
type Store struct {
	store.Store
	keys     []Key
	prefixes []string
	// Observe hears of every value that is sealed or opened; nil for nobody. Set it before the store is used.
	Observe func(Operation)
}

// New returns a store that seals what stands under keys with one of the prefixes. Without keys it seals nothing.
func New(below store.Store, keys []Key, prefixes ...string) *Store {
	return &Store{Store: below, keys: keys, prefixes: prefixes}
}

func (s *Store) covers(key string) bool {
	return slices.ContainsFunc(s.prefixes, func(p string) bool { return strings.HasPrefix(key, p) })
}

// observed tells of an operation that began at a time.
func (s *Store) observed(key string, sealing bool, began time.Time, err error) {
	if s.Observe != nil {
		s.Observe(Operation{Key: key, Sealing: sealing, Took: time.Since(began), Err: err})
	}
}

func (s *Store) seal(key string, value []byte) []byte {
	k := s.keys[0]
	if k.aead == nil {
		return value
	}
	defer s.observed(key, true, time.Now(), nil)
	out := make([]byte, 0, len(Prefix)+len(k.name)+1+k.aead.NonceSize()+len(value)+k.aead.Overhead())
	out = append(out, Prefix...)
	out = append(out, k.name...)
	out = append(out, ':')
	nonce := make([]byte, k.aead.NonceSize())
	rand.Read(nonce) // never fails
	out = append(out, nonce...)
	return k.aead.Seal(out, nonce, value, []byte(key))
}

// open returns what is sealed; current says that it needs no new seal.
func (s *Store) open(key string, value []byte) (plain []byte, current bool, err error) {
	if value == nil || !s.covers(key) {
		return value, true, nil
	}
	rest, ok := bytes.CutPrefix(value, []byte(Prefix))
	if !ok {
		return value, len(s.keys) > 0 && s.keys[0].aead == nil, nil
	}
	began := time.Now()
	plain, current, err = s.unseal(key, rest)
	s.observed(key, false, began, err)
	return plain, current, err
}

// unseal is open for what stands behind the prefix.
func (s *Store) unseal(key string, rest []byte) (plain []byte, current bool, err error) {
	name, rest, ok := bytes.Cut(rest, []byte(":"))
	if !ok {
		return nil, false, fmt.Errorf("%s: its seal is damaged", key)
	}
	i := slices.IndexFunc(s.keys, func(k Key) bool { return k.aead != nil && k.name == string(name) })
	if len(s.keys) == 0 {
		return nil, false, fmt.Errorf("%s is encrypted with the key %q, and no keys were given: start the server with --encryption-key-file, with the same keys as others on this store", key, name)
	}
	if i < 0 {
		return nil, false, fmt.Errorf("%s is encrypted with the key %q, which is not among those that were given: add it to the file of --encryption-key-file", key, name)
	}
	aead := s.keys[i].aead
	if len(rest) < aead.NonceSize() {
		return nil, false, fmt.Errorf("%s: its seal is damaged", key)
	}
	nonce, sealed := rest[:aead.NonceSize()], rest[aead.NonceSize():]
	plain, err = aead.Open(nil, nonce, sealed, []byte(key))
	if err != nil {
		return nil, false, fmt.Errorf("%s cannot be decrypted with the key %q: another key had that name, or the value is damaged", key, name)
	}
	if plain == nil {
		plain = []byte{} // an empty value is no deletion
	}
	return plain, i == 0, nil
}

// Apply seals and writes.
func (s *Store) Apply(ctx context.Context, writes ...store.Write) (int64, error) {
	if len(s.keys) > 0 && slices.ContainsFunc(writes, func(w store.Write) bool { return w.Value != nil && s.covers(w.Key) }) {
		writes = slices.Clone(writes)
		for i, w := range writes {
			if w.Value != nil && s.covers(w.Key) {
				writes[i].Value = s.seal(w.Key, w.Value)
			}
		}
	}
	return s.Store.Apply(ctx, writes...)
}

// Get reads and opens a record.
func (s *Store) Get(ctx context.Context, key string) (store.Record, error) {
	r, err := s.Store.Get(ctx, key)
	if err == nil {
		r.Value, _, err = s.open(key, r.Value)
	}
	return r, err
}

// List reads and opens records.
func (s *Store) List(ctx context.Context, prefix string, opts store.ListOptions) (store.List, error) {
	list, err := s.Store.List(ctx, prefix, opts)
	if err != nil || !slices.ContainsFunc(list.Records, func(r store.Record) bool { return s.covers(r.Key) }) {
		return list, err
	}
	list.Records = slices.Clone(list.Records)
	for i := range list.Records {
		r := &list.Records[i]
		if r.Value, _, err = s.open(r.Key, r.Value); err != nil {
			return store.List{}, err
		}
	}
	return list, nil
}

// Events reads and opens events.
func (s *Store) Events(ctx context.Context, after int64, limit int) ([]store.Event, error) {
	events, err := s.Store.Events(ctx, after, limit)
	if err != nil || !slices.ContainsFunc(events, func(e store.Event) bool { return s.covers(e.Key) }) {
		return events, err
	}
	events = slices.Clone(events)
	for i := range events {
		e := &events[i]
		if e.Value, _, err = s.open(e.Key, e.Value); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// Reseal writes everything anew that is not sealed with the first key, and returns how much that was. Writers may go
// on meanwhile.
func (s *Store) Reseal(ctx context.Context) (written int, err error) {
	if len(s.keys) == 0 {
		return 0, nil
	}
	for _, p := range s.prefixes {
		after := ""
		for {
			list, err := s.Store.List(ctx, p, store.ListOptions{After: after, Limit: 500})
			if err != nil {
				return written, fmt.Errorf("seal anew: list %s: %w", p, err)
			}
			for _, r := range list.Records {
				after = r.Key
				plain, current, err := s.open(r.Key, r.Value)
				if err != nil {
					return written, fmt.Errorf("seal anew: %w", err)
				}
				if current {
					continue
				}
				_, err = s.Store.Apply(ctx, store.Write{Key: r.Key, Value: s.seal(r.Key, plain), Expect: r.Revision})
				var conflict *store.ConflictError
				if err != nil && !errors.As(err, &conflict) { // another writer has sealed it, with its first key
					return written, fmt.Errorf("seal %s anew: %w", r.Key, err)
				}
				written++
			}
			if !list.More {
				break
			}
		}
	}
	return written, nil
}
