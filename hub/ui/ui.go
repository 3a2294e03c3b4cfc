// Package ui holds the console: Svelte and TypeScript under src, built by Vite into dist, which is
// committed and embedded, so that building a hub needs no Node.
//
// The console needs nothing from outside the hub and no inline script or style, so that the hub can
// serve it under a policy that forbids both (ContentSecurityPolicy). A test rebuilds dist and compares.
// The package must import nothing of Gridpost.
package ui

import (
	"embed"
	"io/fs"
)

//go:embed dist
var built embed.FS

// ContentSecurityPolicy returns the header that the hub sends with every file of the console. Live video is
// a MediaStream, which media-src does not govern, or a MediaSource, which has a blob: address. The map's worker is a file of the console's own.
//
// relays are the origins of relays elsewhere, which the console may connect to and play from. The caller makes sure that
// each is one origin.
func ContentSecurityPolicy(relays []string) string {
	elsewhere := ""
	for _, r := range relays {
		elsewhere += " " + r
	}
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; " +
		"connect-src 'self'" + elsewhere + "; media-src 'self' blob:" + elsewhere + "; worker-src 'self'; manifest-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// Files returns the console's files; index.html is its entrance.
func Files() fs.FS {
	files, err := fs.Sub(built, "dist")
	if err != nil { // only for a malformed path
		panic(err)
	}
	return files
}
