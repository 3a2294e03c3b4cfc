package headexport

import (
	"context"

	"gridpost/hub/internal/store/audit"
)

// newFile returns the target that appends heads to a file, such as one on a medium that can be written once.
// Its growth, about 400 bytes for each head, is bounded by who chose the path: it is never renamed here.
func newFile(path string) func(context.Context, audit.Head) error {
	f := &audit.HeadFile{Path: path}
	return func(_ context.Context, h audit.Head) error { return f.Append(h) }
}
