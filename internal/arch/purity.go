package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"strconv"
	"strings"
)

// impureImport says why a pure package must not import a path, or "".
func impureImport(p string) string {
	switch p {
	case "os", "syscall", "golang.org/x/sys/unix":
		return "it reaches the operating system"
	case "sync", "sync/atomic":
		return "it shares state"
	case "math/rand", "math/rand/v2", "crypto/rand", "k8s.io/apimachinery/pkg/util/uuid", "github.com/google/uuid":
		return "it is random"
	case "log", "log/slog", "k8s.io/klog/v2":
		return "it logs"
	case "k8s.io/apimachinery/pkg/util/wait", "k8s.io/utils/clock":
		return "it has a clock"
	}
	if strings.HasPrefix(p, "os/") {
		return "it reaches the operating system"
	}
	return ""
}

// impureName says why a pure package must not use a name of a package that is pure in part, or "".
func impureName(importPath, name string) string {
	switch importPath {
	case "time":
		switch name {
		case "Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker":
			return "take the time as an argument"
		}
	case "k8s.io/apimachinery/pkg/apis/meta/v1":
		if name == "Now" || name == "NowMicro" {
			return "take the time as an argument"
		}
	case "net":
		switch name {
		case "IP", "IPMask", "IPNet", "ParseIP", "ParseCIDR", "JoinHostPort", "SplitHostPort", "IPv4", "CIDRMask":
		default:
			return "it reaches the network"
		}
	case "net/http":
		if !strings.HasPrefix(name, "Status") && !strings.HasPrefix(name, "Method") {
			return "it reaches the network"
		}
	case "k8s.io/apimachinery/pkg/util/rand":
		if name != "SafeEncodeString" {
			return "it is random"
		}
	}
	return ""
}

// impurities returns what keeps a file from being pure.
func impurities(fset *token.FileSet, file *ast.File) []string {
	var found []string
	report := func(pos token.Pos, format string, args ...any) {
		found = append(found, fmt.Sprintf("%s: %s", fset.Position(pos), fmt.Sprintf(format, args...)))
	}
	imports := make(map[string]string) // by the name in the file; a local variable of that name is a bad idea anyway
	for _, spec := range file.Imports {
		importPath, _ := strconv.Unquote(spec.Path.Value)
		name := path.Base(importPath)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		imports[name] = importPath
		if why := impureImport(importPath); why != "" {
			report(spec.Pos(), "a pure package imports %s: %s", importPath, why)
		}
	}
	for _, decl := range file.Decls {
		if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.VAR {
			for _, spec := range d.Specs {
				if v := spec.(*ast.ValueSpec); !isConstantLike(v) {
					report(v.Pos(), "a pure package has the package-level variable %s: make it a constant or a function", v.Names[0].Name)
				}
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			report(n.Pos(), "a pure package starts a goroutine")
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if !ok {
				break
			}
			if why := impureName(imports[x.Name], n.Sel.Name); why != "" {
				report(n.Pos(), "a pure package uses %s.%s: %s", x.Name, n.Sel.Name, why)
			}
		}
		return true
	})
	return found
}

// isConstantLike allows what nobody writes to and Go has no constant for: checks that a type implements an
// interface, and error values.
func isConstantLike(v *ast.ValueSpec) bool {
	for _, name := range v.Names {
		if name.Name != "_" {
			return len(v.Values) == len(v.Names) && allNewErrors(v.Values)
		}
	}
	return true
}

func allNewErrors(values []ast.Expr) bool {
	for _, value := range values {
		call, ok := value.(*ast.CallExpr)
		if !ok {
			return false
		}
		function, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || function.Sel.Name != "New" {
			return false
		}
		if x, ok := function.X.(*ast.Ident); !ok || x.Name != "errors" {
			return false
		}
	}
	return true
}
