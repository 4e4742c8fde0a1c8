package arch

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "sampan"

// source is a Go file of the tree.
type source struct {
	folder string // "." for the root
	path   string
	file   *ast.File
	test   bool
}

// tree parses all Go files of the module.
func tree(t *testing.T) (*token.FileSet, []source) {
	t.Helper()
	root := filepath.Join("..", "..")
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var sources []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // built or removed beside us
		}
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "node_modules") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		sources = append(sources, source{filepath.ToSlash(folder), path, file, strings.HasSuffix(path, "_test.go")})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fset, sources
}

func imports(s source) []string {
	var paths []string
	for _, spec := range s.file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

func TestFoldersImportInOneDirection(t *testing.T) {
	policy, err := Parse(Rules)
	if err != nil {
		t.Fatal(err)
	}
	_, sources := tree(t)
	for _, s := range sources {
		for _, path := range imports(s) {
			imported, ours := strings.CutPrefix(path, module+"/")
			if !ours || s.test || imported == s.folder {
				continue
			}
			if err := policy.Check(s.folder, imported); err != nil {
				t.Errorf("%s: %v", s.path, err)
			}
		}
	}
}

func TestNobodyImportsUpstreamKubernetes(t *testing.T) {
	_, sources := tree(t)
	for _, s := range sources {
		for _, path := range imports(s) {
			if path == "k8s.io/kubernetes" || strings.HasPrefix(path, "k8s.io/kubernetes/") {
				t.Errorf("%s imports %s, which is no library", s.path, path)
			}
		}
	}
}

func TestPurePackagesArePure(t *testing.T) {
	fset, sources := tree(t)
	for _, s := range sources {
		if s.test || strings.HasSuffix(s.folder, "test") || match(Pure(), s.folder) == "" {
			continue
		}
		for _, found := range impurities(fset, s.file) {
			t.Error(found)
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	_, sources := tree(t)
	documented := make(map[string]bool)
	for _, s := range sources {
		if s.test {
			continue
		}
		doc := s.file.Doc != nil && len(strings.Fields(s.file.Doc.Text())) > 3
		documented[s.folder] = documented[s.folder] || doc
	}
	for folder, ok := range documented {
		if !ok {
			t.Errorf("%s has no package comment: say what it is, what it promises, who may call it and what happens on failure", folder)
		}
	}
}

func TestRulesAreUnderstood(t *testing.T) {
	const rules = `
		NONE < leaf;   # a comment
		leaf < a < b/*, b/special;
		b/special < c;
		a !< leaf;
	`
	policy, err := Parse(rules)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		folder, imported string
		ok               bool
	}{
		{"a", "leaf", true},
		{"b/x", "a", true},
		{"b/x", "leaf", true}, // through a
		{"b/x/y", "a", true},
		{"b/special", "a", true},
		{"c", "b/special", true},
		{"c", "leaf", true},
		{"c", "b/x", false},
		{"b/x", "b/y", false},
		{"b/x", "b/special", false},
		{"leaf", "a", false},
		{"a", "b/x", false},
		{"unknown", "a", false},
		{"c", "unknown", false},
	} {
		if err := policy.Check(c.folder, c.imported); (err == nil) != c.ok {
			t.Errorf("%s imports %s: %v, want it allowed: %v", c.folder, c.imported, err, c.ok)
		}
	}
	for rules, want := range map[string]string{
		"a < b; b < a;":           "circle",
		"a < b; b < c; a !< c;":   "forbid",
		"a, b;":                   "no <",
		"a < ;":                   "nothing beside",
		"a < b < c; c < d < a;":   "circle",
		"x/* < y; y !< x/*; y<z;": "",
	} {
		_, err := Parse(rules)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", rules, err, want)
		}
	}
}

func TestImpuritiesAreFound(t *testing.T) {
	const code = `package p
import ("errors"; "os"; clock "time"; "time"; metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"; "net"; "net/http")
var _ error = x{}
var ErrGood = errors.New("good")
var state map[string]int
var a, b = errors.New("a"), 1
func f() {
	go f()
	clock.Sleep(1)
	_ = metav1.Now()
	_ = time.Second
	_ = os.Args
	var local int
	_, _ = http.StatusOK, net.ParseIP("")
	net.Dial("", "")
}
`
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "p.go", code, 0)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, found := range impurities(fset, file) {
		lines = append(lines, strings.Split(found, ":")[1])
	}
	if want := []string{"2", "5", "6", "8", "9", "10", "15"}; !slices.Equal(lines, want) {
		t.Errorf("found on lines %v, want %v", lines, want)
	}
}
