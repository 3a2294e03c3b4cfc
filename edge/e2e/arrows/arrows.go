// Package arrows holds the imports that must never be (ARCHITECTURE.md), over what
// `go list` says of every package.
//
// Its test reads this module, and a small module in testdata whose every package breaks one
// rule: a rule that finds nothing there is no rule. The package imports nothing of Gridpost.
package arrows

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

const module = "gridpost/"

// Package is what go list says of one package.
type Package struct {
	ImportPath   string
	Standard     bool
	CgoFiles     []string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string // of the package itself, without its tests
}

// List returns the packages of the module in dir and everything that they depend on.
func List(dir string) ([]Package, error) {
	cmd := exec.Command("go", "list", "-deps",
		"-json=ImportPath,Standard,CgoFiles,Imports,TestImports,XTestImports,Deps", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing packages: %w: %s", err, stderr.Bytes())
	}
	var packages []Package
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p Package
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("reading go list: %w", err)
		}
		packages = append(packages, p)
	}
}

// rule says that packages in from must not import those in to.
type rule struct {
	name    string
	from    []string // trees of packages, "" being all of the module
	but     []string // trees in from that may
	to      []string // trees of packages
	allowed []string // trees in to that are fine
	tests   bool     // tests must hold it too
}

var (
	lower    = []string{module + "devices", module + "streams", module + "detection", module + "firmware-config"}
	adapters = []string{
		module + "streams/rtsp", module + "streams/webrtc", module + "streams/fmp4", module + "streams/simcam",
		module + "devices/mqtt", module + "devices/broker", module + "devices/decode", module + "devices/onvif",
		module + "detection/worker/decode", module + "detection/worker/vision", module + "detection/worker/onnx",
	}
)

// rules returns the arrows that must never be.
func rules() []rule {
	all := []rule{
		{name: "lower packages know no program", from: lower, to: []string{module + "edge", module + "hub"}, tests: true},
		{name: "edge knows only hub/api of the hub", from: []string{module + "edge"}, to: []string{module + "hub"}, allowed: []string{module + "hub/api"}, tests: true},
		{name: "an edge knows nothing of the hub's public API", from: []string{module + "edge"}, but: []string{module + "edge/e2e"}, to: []string{module + "hub/api/public"}, tests: true},
		{name: "hub knows nothing of edge", from: []string{module + "hub"}, to: []string{module + "edge"}, tests: true},
		{name: "devices is below streams and detection", from: []string{module + "devices"}, to: []string{module + "streams", module + "detection"}, tests: true},
		{name: "streams is below detection", from: []string{module + "streams"}, to: []string{module + "detection"}, tests: true},
		{name: "gortsplib stays in its adapters", from: []string{module}, but: []string{module + "streams/rtsp", module + "streams/simcam"}, to: []string{"github.com/bluenviron/gortsplib"}, tests: true},
		{name: "pion stays in streams/webrtc", from: []string{module}, but: []string{module + "streams/webrtc"}, to: []string{"github.com/pion/webrtc"}, tests: true},
		{name: "paho stays in devices/mqtt", from: []string{module}, but: []string{module + "devices/mqtt"}, to: []string{"github.com/eclipse/paho.mqtt.golang"}, tests: true},
		{name: "mochi stays in devices/broker", from: []string{module}, but: []string{module + "devices/broker"}, to: []string{"github.com/mochi-mqtt"}, tests: true},
		{name: "native code stays in detection/worker", from: []string{module}, but: []string{module + "detection/worker"}, to: []string{"gocv.io", "github.com/yalue/onnxruntime_go"}, tests: true},
		{name: "SQLite stays in the stores", from: []string{module}, but: []string{module + "edge/internal/store", module + "hub/internal/db"}, to: []string{"modernc.org", "github.com/jackc"}, tests: true},
	}
	for _, a := range adapters {
		// Tests may: a camera made of a file is a real peer for the RTSP client.
		all = append(all, rule{name: "adapters do not know each other", from: []string{a}, to: adapters, allowed: []string{a}})
	}
	return all
}

// Check returns the broken rules, each as "rule: package imports package", sorted.
func Check(packages []Package) []string {
	var broken []string
	for _, p := range packages {
		if p.Standard || !inside(p.ImportPath+"/", []string{module}) {
			continue
		}
		for _, r := range rules() {
			broken = append(broken, r.check(p)...)
		}
		if len(p.CgoFiles) > 0 && !inside(p.ImportPath, []string{module + "detection/worker"}) {
			broken = append(broken, fmt.Sprintf("only the worker is cgo: %s imports \"C\"", p.ImportPath))
		}
		if p.ImportPath == module+"edge" || p.ImportPath == module+"hub" {
			broken = append(broken, pure(p)...)
		}
	}
	slices.Sort(broken)
	return slices.Compact(broken)
}

func (r rule) check(p Package) (broken []string) {
	if !inside(p.ImportPath, r.from) || inside(p.ImportPath, r.but) {
		return nil
	}
	imports := slices.Clone(p.Imports)
	if r.tests {
		imports = slices.Concat(imports, p.TestImports, p.XTestImports)
	}
	for _, to := range imports {
		if inside(to, r.to) && !inside(to, r.allowed) {
			broken = append(broken, fmt.Sprintf("%s: %s imports %s", r.name, p.ImportPath, to))
		}
	}
	return broken
}

// pure checks what a program drags in by any number of steps: it must build without cgo.
func pure(p Package) (broken []string) {
	for _, d := range p.Deps {
		if inside(d, []string{"gocv.io", module + "detection/worker"}) {
			broken = append(broken, fmt.Sprintf("edge and hub are pure Go: %s depends on %s", p.ImportPath, d))
		}
	}
	return broken
}

// inside reports whether path is the root of one of the trees or below it. A tree that ends in
// a slash is everything below.
func inside(path string, trees []string) bool {
	return slices.ContainsFunc(trees, func(tree string) bool {
		return path == tree || strings.HasPrefix(path, strings.TrimSuffix(tree, "/")+"/")
	})
}
