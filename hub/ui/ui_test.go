package ui

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPolicy: nothing in the console needs what ContentSecurityPolicy forbids.
func TestPolicy(t *testing.T) {
	policy := ContentSecurityPolicy(nil)
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") || strings.Contains(policy, "http") {
		t.Error("the policy is not strict")
	}
	const one, two = "https://relay.example", "https://relay.example:8444"
	relayed := ContentSecurityPolicy([]string{one, two})
	for _, directive := range []string{"connect-src 'self'", "media-src 'self' blob:"} {
		if !strings.Contains(relayed, "; "+directive+" "+one+" "+two+"; ") {
			t.Errorf("relays are not in %s of %q", directive, relayed)
		}
	}
	if strings.ReplaceAll(relayed, " "+one+" "+two, "") != policy {
		t.Errorf("relays change more than connect-src and media-src: %q", relayed)
	}
	html := read(t, Files(), "index.html")
	forbidden := regexp.MustCompile(`(?i)<script[^>]*>[^<]|<style|\sstyle=|\son[a-z]+=|javascript:`)
	if found := forbidden.FindString(html); found != "" {
		t.Errorf("index.html: %q", found)
	}
	if found := regexp.MustCompile(`(?:src|href)="(?:https?:)?//`).FindString(html); found != "" {
		t.Errorf("index.html names another host: %q", found)
	}
	code := regexp.MustCompile(`[^\w.$]eval\(|new Function\(|["'` + "`" + `]https?://(?:[a-z0-9-]+\.)+[a-z]+/?`)
	known := regexp.MustCompile(`^.https?://(?:www\.w3\.org|svelte\.dev|maplibre\.org|github\.com|maplibre\.invalid|www\.webrtc\.org|docs\.mapbox\.com|docs\.maplibre\.org|[a-z.]+\.example)`) // names of XML spaces and extensions, texts of errors and attributions, examples of addresses
	link := regexp.MustCompile(`url\(["']?(?:https?:)?//|@import`)
	walk(t, Files(), func(name, text string) {
		switch filepath.Ext(name) {
		case ".js", ".mjs":
			for _, found := range code.FindAllString(text, -1) {
				if !known.MatchString(found) {
					t.Errorf("%s: %q", name, found)
				}
			}
		case ".css":
			if found := link.FindString(text); found != "" {
				t.Errorf("%s: %q", name, found)
			}
		}
	})
}

// TestComponents: a style attribute in a component's markup would be refused by the policy, and
// words belong in the message files.
func TestComponents(t *testing.T) {
	styled := regexp.MustCompile(`<[a-z][^>]*\sstyle="`)
	unsafe := regexp.MustCompile(`\{@html|innerHTML|insertAdjacentHTML|document\.write`)
	chinese := regexp.MustCompile(`\p{Han}+`)
	walk(t, os.DirFS("src"), func(name, text string) {
		switch filepath.Ext(name) {
		case ".svelte", ".ts":
		default:
			return
		}
		if found := styled.FindString(text); found != "" && strings.HasSuffix(name, ".svelte") {
			t.Errorf("src/%s: %q; use style:name={value}", name, found)
		}
		if found := unsafe.FindString(text); found != "" {
			t.Errorf("src/%s: %q", name, found)
		}
		if strings.HasSuffix(name, ".test.ts") {
			return
		}
		for _, found := range chinese.FindAllString(text, -1) {
			if found != "中文" && found != "语言" { // the languages' own names
				t.Errorf("src/%s: %q belongs in a message file", name, found)
			}
		}
	})
}

// TestDist rebuilds the console and compares: what is embedded is what the sources say.
func TestDist(t *testing.T) {
	npx, err := exec.LookPath("npx")
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("no Node here; dist is embedded as it is committed")
	}
	if _, err := os.Stat("node_modules"); err != nil {
		t.Skip("no node_modules: `make console` installs what package-lock.json names")
	}
	out := t.TempDir()
	build := exec.CommandContext(t.Context(), npx, "--no-install", "vite", "build", "--outDir", out, "--logLevel", "warn")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, text)
	}
	fresh, kept := contents(t, os.DirFS(out)), contents(t, Files())
	for name, text := range fresh {
		if !bytes.Equal(kept[name], text) {
			t.Errorf("dist/%s is missing or another: `make console` builds it, then commit hub/ui/dist", name)
		}
	}
	for name := range kept {
		if fresh[name] == nil {
			t.Errorf("dist/%s is left over: `make console` builds dist anew, then commit hub/ui/dist", name)
		}
	}
}

func contents(t *testing.T, files fs.FS) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	walk(t, files, func(name, text string) { all[name] = []byte(text) })
	return all
}

func walk(t *testing.T, files fs.FS, each func(name, text string)) {
	t.Helper()
	n := 0
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		each(name, read(t, files, name))
		return nil
	})
	if err != nil || n == 0 {
		t.Fatalf("%d files, error %v", n, err)
	}
}

func read(t *testing.T, files fs.FS, name string) string {
	t.Helper()
	b, err := fs.ReadFile(files, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
