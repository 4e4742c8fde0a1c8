package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"sampan/network/ipam"
	"sampan/podruntime"
)

// record is what is kept of one connected sandbox. It is written before anything is made in the kernel and
// removed after all of it is gone.
type record struct {
	Sandbox   string                `json:"sandbox"`
	Namespace string                `json:"namespace,omitempty"`
	Pod       string                `json:"pod,omitempty"`
	Address   netip.Addr            `json:"address"`
	HostPorts []podruntime.HostPort `json:"hostPorts,omitempty"`
}

// records are the sandboxes of the node and the addresses that they hold, mirrored in files:
//
//	sandboxes/<id>.json  one record
//	cursor               the address that was given last
//	node.json            what the instance set up on the node
//
// Files are replaced as a whole. They are not synced to disk: when the machine goes down, so do the sandboxes.
type records struct {
	dir       string
	pool      netip.Prefix
	bySandbox map[string]record
	held      map[netip.Addr]string
	cursor    netip.Addr
}

// node is what Destroy must know, and what the machine was like before.
type node struct {
	PodCIDR     netip.Prefix `json:"podCIDR"`
	ServiceCIDR netip.Prefix `json:"serviceCIDR"`
	// ForwardedBefore is whether the machine forwarded IPv4 packets before Sampan switched that on.
	ForwardedBefore bool `json:"forwardedBefore"`
}

func openRecords(dir string, pool netip.Prefix) (*records, error) {
	r := &records{dir: dir, pool: pool, bySandbox: map[string]record{}, held: map[netip.Addr]string{}}
	folder := filepath.Join(dir, "sandboxes")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		path := filepath.Join(folder, f.Name())
		if !strings.HasSuffix(f.Name(), ".json") {
			// The rest of a write that was cut short.
			if err := os.Remove(path); err != nil {
				return nil, err
			}
			continue
		}
		var rec record
		if err := readJSON(path, &rec); err != nil {
			return nil, err
		}
		if holder, taken := r.held[rec.Address]; taken {
			return nil, fmt.Errorf("%s: address %s is also held by sandbox %s", path, rec.Address, holder)
		}
		r.bySandbox[rec.Sandbox], r.held[rec.Address] = rec, rec.Sandbox
	}
	if b, err := os.ReadFile(filepath.Join(dir, "cursor")); err == nil {
		// A cursor that makes no sense only means to begin at the start.
		r.cursor, _ = netip.ParseAddr(strings.TrimSpace(string(b)))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return r, nil
}

// hold gives a sandbox an address and records it.
func (r *records) hold(rec record) (record, error) {
	a, err := ipam.Next(r.pool, r.cursor, func(a netip.Addr) bool { _, ok := r.held[a]; return ok })
	if err != nil {
		return record{}, err
	}
	rec.Address = a
	if err := writeFile(filepath.Join(r.dir, "cursor"), []byte(a.String()+"\n")); err != nil {
		return record{}, err
	}
	r.cursor = a
	b, err := json.Marshal(rec)
	if err != nil {
		return record{}, err
	}
	if err := writeFile(r.path(rec.Sandbox), b); err != nil {
		return record{}, err
	}
	r.bySandbox[rec.Sandbox], r.held[a] = rec, rec.Sandbox
	return rec, nil
}

// release gives a sandbox's address back.
func (r *records) release(sandbox string) error {
	rec, ok := r.bySandbox[sandbox]
	if !ok {
		return nil
	}
	if err := os.Remove(r.path(sandbox)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	delete(r.bySandbox, sandbox)
	delete(r.held, rec.Address)
	return nil
}

func (r *records) path(sandbox string) string {
	return filepath.Join(r.dir, "sandboxes", sandbox+".json")
}

// checkSandbox refuses IDs that cannot be the name of a file.
func checkSandbox(id string) error {
	if id == "" || id != filepath.Base(id) || strings.HasPrefix(id, ".") || len(id) > 200 {
		return fmt.Errorf("sandbox ID %q is not usable", id)
	}
	return nil
}

func readJSON(path string, into any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// writeFile replaces a file as a whole.
func writeFile(path string, b []byte) error {
	part := path + ".part"
	if err := os.WriteFile(part, b, 0o600); err != nil {
		return err
	}
	return os.Rename(part, path)
}
