package ui

import (
	"encoding/json"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := fs.ReadFile(Files(), name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func names(t *testing.T) []string {
	t.Helper()
	all, err := fs.Glob(Files(), "*")
	if err != nil || len(all) < 10 {
		t.Fatalf("files %v, error %v", all, err)
	}
	return all
}

// TestPolicy: nothing in the page needs what ContentSecurityPolicy forbids, and nothing of it
// comes from elsewhere.
func TestPolicy(t *testing.T) {
	if strings.Contains(ContentSecurityPolicy, "unsafe") || strings.Contains(ContentSecurityPolicy, "*") {
		t.Error("the policy is not strict")
	}
	forbidden := regexp.MustCompile(`(?i)<script(?:[^>]*)>[^<]|<style|\sstyle=|\son[a-z]+=|javascript:|\beval\(|new Function|innerHTML|outerHTML|insertAdjacentHTML|document\.write`)
	outside := regexp.MustCompile(`(?:https?:)?//[a-z0-9-]+\.[a-z]|\burl\(['"]?[^)]|@import`)
	for _, name := range names(t) {
		text := strings.ReplaceAll(read(t, name), "http://www.w3.org/2000/svg", "")
		if path.Ext(name) != ".css" {
			if found := forbidden.FindString(text); found != "" {
				t.Errorf("%s: %q", name, found)
			}
		}
		if found := outside.FindString(text); found != "" {
			t.Errorf("%s: %q", name, found)
		}
	}
}

// TestElements holds the names that tests and scripts outside find the page's parts by.
func TestElements(t *testing.T) {
	html := read(t, "index.html")
	for _, id := range []string{"login-user", "login-password", "login-submit", "incidents", "incident-detail", "nearby"} {
		if strings.Count(html, `id="`+id+`"`) != 1 {
			t.Errorf("index.html: no id %s, or two of them", id)
		}
	}
	if !strings.Contains(html, `<video id="live"`) {
		t.Error("index.html: no video#live")
	}
	var js strings.Builder
	for _, name := range names(t) {
		if path.Ext(name) == ".js" {
			js.WriteString(read(t, name))
		}
	}
	for _, m := range regexp.MustCompile(`\$\("([a-z-]+)"\)`).FindAllStringSubmatch(js.String(), -1) {
		if !strings.Contains(html, `id="`+m[1]+`"`) {
			t.Errorf("the scripts look for #%s, which is not there", m[1])
		}
	}
}

// TestMessages: both languages say the same things, and every message that is asked for exists.
func TestMessages(t *testing.T) {
	load := func(name string) map[string]string {
		m := map[string]string{}
		if err := json.Unmarshal([]byte(read(t, name)), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	en, zh := load("messages.en.json"), load("messages.zh-CN.json")
	blank := regexp.MustCompile(`\{\w+\}`)
	for _, key := range slices.Sorted(maps.Keys(en)) {
		if zh[key] == "" || en[key] == "" {
			t.Errorf("%s: no text in one of the languages", key)
		}
		if a, b := blank.FindAllString(en[key], -1), blank.FindAllString(zh[key], -1); len(a) != len(b) {
			t.Errorf("%s: the languages fill in %v and %v", key, a, b)
		}
	}
	if len(zh) != len(en) {
		t.Errorf("%d messages in English, %d in Chinese", len(en), len(zh))
	}
	used := regexp.MustCompile(`(?:\bt\("|data-text=")([a-zA-Z0-9._]+)"`)
	for _, name := range names(t) {
		for _, m := range used.FindAllStringSubmatch(read(t, name), -1) {
			if en[m[1]] == "" {
				t.Errorf("%s: no message %s", name, m[1])
			}
		}
	}
}
