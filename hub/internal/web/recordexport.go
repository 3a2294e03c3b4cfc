package web

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"gridpost/hub/internal/spreadsheet"
	"gridpost/hub/internal/store/audit"
)

// exportPage is how many entries an export reads at once. It holds no more of them in memory.
const exportPage = 500

// exported is a record that is exported as a table.
type exported struct {
	action  string // in the audit log
	detail  string // likewise: what was chosen
	name    string // of the file, before its day
	columns []string
	page    func(context.Context) (rows [][]string, last bool, err error) // the next rows
}

// moment returns a time as tables have it.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// export answers with a table. Who takes a copy is recorded before the first row leaves; a refused request is not. When
// a later page cannot be read, the connection is aborted, so that nobody takes the file for a complete one.
func (s *Server) export(ctx context.Context, e exported) (*huma.StreamResponse, error) {
	rows, last, err := e.page(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.o.Audit.Record(ctx, audit.Entry{Who: who(ctx).Name, Action: e.action, Detail: e.detail}); err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", spreadsheet.ContentType)
		hc.SetHeader("Content-Disposition", `attachment; filename="gridpost-`+e.name+`-`+time.Now().UTC().Format(time.DateOnly)+`.csv"`)
		_, w := humago.Unwrap(hc)
		if err := e.write(hc.Context(), w, rows, last); err != nil {
			s.o.Logger.Warn("an export was aborted", "of", e.name, "who", who(hc.Context()).Name, "error", err)
			panic(http.ErrAbortHandler)
		}
	}}, nil
}

// write writes the first rows and those that follow. A client that takes nothing for writeLimit ends it.
func (e exported) write(ctx context.Context, w http.ResponseWriter, rows [][]string, last bool) error {
	control := http.NewResponseController(w)
	table, err := spreadsheet.NewWriter(w, e.columns...)
	for err == nil {
		if err := control.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
			return err
		}
		for _, row := range rows {
			if err := table.Row(row...); err != nil {
				return err
			}
		}
		if err := table.Flush(); err != nil {
			return err
		}
		if last {
			return control.SetWriteDeadline(time.Time{})
		}
		rows, last, err = e.page(ctx)
	}
	return err
}
