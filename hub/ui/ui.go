// Package ui holds the hub's page: plain HTML, CSS and JavaScript without a build step.
//
// The page needs nothing from outside the hub and no inline script or style, so that the hub
// can serve it under a policy that forbids both (ContentSecurityPolicy). It must import
// nothing of Gridpost.
package ui

import (
	"embed"
	"io/fs"
)

//go:embed *.html *.js *.css *.json *.svg
var files embed.FS

// ContentSecurityPolicy is the header that the hub sends with every file of the page. Live video
// is a MediaStream, which media-src does not govern; blob: is for nothing else and is left out.
const ContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; media-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Files returns the page's files; index.html is its entrance.
func Files() fs.FS { return files }
