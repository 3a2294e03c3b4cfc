// Package schema holds the numbered migrations of the hub's databases, one folder for each engine:
// sqlite/NNNN_name.sql and postgres/NNNN_name.sql. A number means the same schema on both. A file
// that has been released never changes.
package schema

import (
	"embed"
	"io/fs"
)

//go:embed hub
var files embed.FS

// Hub returns the migrations of the database "hub": everything but telemetry.
func Hub() fs.FS { return sub("hub") }

func sub(folder string) fs.FS {
	f, err := fs.Sub(files, folder)
	if err != nil {
		panic(err) // the folder's name is a constant
	}
	return f
}
