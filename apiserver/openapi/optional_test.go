package openapi

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestOptionalFieldsAreThoseOfTheSource reads the marks in the source of the types, which nobody sees at run time.
func TestOptionalFieldsAreThoseOfTheSource(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.ImportPath}} {{.Dir}}", "k8s.io/api/...", "k8s.io/apimachinery/pkg/apis/meta/v1").Output()
	if err != nil {
		t.Fatalf("find the source of the types: %v", err)
	}
	stable := regexp.MustCompile(`/v\d+$`)
	fields := 0
	for line := range strings.Lines(string(out)) {
		pkg, dir, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !stable.MatchString(pkg) {
			continue
		}
		files, err := filepath.Glob(filepath.Join(dir, "*types*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			for field, marked := range written(t, file) {
				fields++
				typ, name, _ := strings.Cut(field, ".")
				if got := isOptional(pkg, typ, name); got != marked {
					t.Errorf("%s.%s: optional is %v, the source says %v", pkg, field, got, marked)
				}
			}
		}
	}
	if fields < 300 {
		t.Errorf("the source has only %d fields that are always written", fields)
	}
}

// written returns the fields of a file that are written even when they are empty, as "Type.name", and whether they are
// marked as optional.
func written(t *testing.T, file string) map[string]bool {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	mark := regexp.MustCompile(`(?m)^//\s*\+optional\s*$`)
	out := map[string]bool{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		structure, ok := spec.Type.(*ast.StructType)
		if !ok {
			return false
		}
		for _, f := range structure.Fields.List {
			if f.Tag == nil {
				continue
			}
			name, options, _ := strings.Cut(reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json"), ",")
			if name == "" || name == "-" || strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero") {
				continue
			}
			marked := false
			if f.Doc != nil {
				for _, c := range f.Doc.List {
					marked = marked || mark.MatchString(c.Text)
				}
			}
			out[spec.Name.Name+"."+name] = marked
		}
		return false
	})
	return out
}
