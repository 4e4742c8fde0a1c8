package arch

import (
	"errors"
	"go/ast"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// pages returns the Markdown pages of the tree by their path below the root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	root := filepath.Join("..", "..")
	found := make(map[string]string)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // built or removed beside us
		}
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		found[filepath.ToSlash(name)] = string(text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// declared returns what the tree declares, as folder.Name and folder.Type.Method, and its folders with Go files.
func declared(sources []source) (names, folders map[string]bool) {
	names, folders = make(map[string]bool), make(map[string]bool)
	for _, s := range sources {
		folders[s.folder] = true
		for _, decl := range s.file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				names[s.folder+"."+receiver(d)+d.Name.Name] = true
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						names[s.folder+"."+spec.Name.Name] = true
					case *ast.ValueSpec:
						for _, name := range spec.Names {
							names[s.folder+"."+name.Name] = true
						}
					}
				}
			}
		}
	}
	return names, folders
}

// receiver returns "Type." for a method, "" for a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	expr := d.Recv.List[0].Type
	if star, ok := expr.(*ast.StarExpr); ok {
		expr = star.X
	}
	if index, ok := expr.(*ast.IndexExpr); ok {
		expr = index.X
	}
	if name, ok := expr.(*ast.Ident); ok {
		return name.Name + "."
	}
	return ""
}

// symbol is a name of the source in a page: `folder.Name` or `folder.Type.Method`, by itself in backquotes.
var symbol = regexp.MustCompile("`([a-z0-9_/]+)\\.([A-Za-z_][A-Za-z0-9_]*(?:\\.[A-Za-z_][A-Za-z0-9_]*)?)`")

func TestDocsNameWhatIsThere(t *testing.T) {
	_, sources := tree(t)
	names, folders := declared(sources)
	strict := 0
	for page, text := range pages(t) {
		// These two speak of nothing but the source; elsewhere `node.json` and the like are no symbols.
		everything := page == "docs/life-of-a-pod.md" || page == "docs/words.md"
		for _, m := range symbol.FindAllStringSubmatch(text, -1) {
			if !everything && (!folders[m[1]] || !ast.IsExported(m[2])) {
				continue
			}
			if everything {
				strict++
			}
			if !names[m[1]+"."+m[2]] {
				t.Errorf("%s: there is no %s.%s", page, m[1], m[2])
			}
		}
	}
	if strict < 50 {
		t.Errorf("%d names in the pages about the source: they are not read", strict)
	}
}

// link is the target of a link to a file of the tree.
var link = regexp.MustCompile(`\]\(([^)\s#:]+)(?:#[^)\s]*)?\)`)

func TestLinksLeadToFiles(t *testing.T) {
	for page, text := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join("..", "..", filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}
