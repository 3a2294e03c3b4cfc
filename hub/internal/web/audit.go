package web

import (
	"context"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/hub/api/public"
	"gridpost/hub/internal/store/audit"
)

// AuditFilter selects entries of the audit log.
type AuditFilter struct {
	Who    string    `query:"who" maxLength:"160" doc:"a name; a user is found by every name that the user has or had"`
	Action string    `query:"action" maxLength:"80"`
	Object string    `query:"object" maxLength:"200" doc:"what it was done to, such as edge/device or the ID of an incident"`
	Since  time.Time `query:"since" doc:"written then or later"`
	Until  time.Time `query:"until" doc:"written before"`
}

func (f AuditFilter) query() audit.Query {
	return audit.Query{Who: f.Who, Action: f.Action, Object: f.Object, Since: f.Since, Until: f.Until}
}

type auditInput struct {
	Page
	AuditFilter
}

type auditOutput struct {
	Body struct {
		Audit  []public.AuditEntry `json:"audit"`
		Broken int64               `json:"broken" doc:"as in state"`
		State  public.AuditState   `json:"state" doc:"what is known of the integrity of the log; nothing is verified for this answer"`
		Next   *string             `json:"next"`
	}
}

type auditStateOutput struct{ Body public.AuditState }

func (s *Server) registerAudit() {
	tags := []string{"record"}
	register(s, huma.Operation{
		OperationID: "list-audit", Tags: tags, Summary: "Who did what, newest first",
	}, s.listAudit)
	register(s, huma.Operation{
		OperationID: "export-audit", Tags: tags, Summary: "Who did what, as a table (CSV), newest first; the export is recorded itself",
	}, s.exportAudit)
	register(s, huma.Operation{
		OperationID: "verify-audit", Tags: tags, DefaultStatus: http.StatusAccepted,
		Summary: "Begin to verify the whole audit log, in the background; the state tells how far it has come",
	}, func(ctx context.Context, _ *struct{}) (*auditStateOutput, error) {
		if err := s.o.Audit.RequestFull(ctx, who(ctx).Name); err != nil {
			return nil, err
		}
		state, err := s.o.Audit.State(ctx)
		return &auditStateOutput{Body: s.presentAuditState(state)}, err
	})
}

func (s *Server) listAudit(ctx context.Context, in *auditInput) (*auditOutput, error) {
	q, err := in.query(), error(nil)
	if q.After, err = auditPosition(in.Page); err != nil {
		return nil, err
	}
	q.Limit = in.Limit
	all, err := s.o.Audit.List(ctx, q)
	if err != nil {
		return nil, err
	}
	state, err := s.o.Audit.State(ctx)
	if err != nil {
		return nil, err
	}
	out := &auditOutput{}
	out.Body.Audit, out.Body.Broken, out.Body.State = convert(all, presentAuditEntry), state.Broken, s.presentAuditState(state)
	out.Body.Next = next(in.Page, all, func(last audit.Entry) string { return atMoment(last.At, strconv.FormatInt(last.ID, 10)) })
	return out, nil
}

// auditPosition reads the cursor of a page; zero for the first one.
func auditPosition(p Page) (audit.Position, error) {
	at, text, err := p.moment()
	if err != nil || text == "" {
		return audit.Position{}, err
	}
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return audit.Position{}, notOurs()
	}
	return audit.Position{At: at, ID: id}, nil
}

func (s *Server) exportAudit(ctx context.Context, in *AuditFilter) (*huma.StreamResponse, error) {
	q := in.query()
	q.Limit = exportPage
	return s.export(ctx, exported{
		action: "audit export", name: "audit", columns: []string{"number", "at", "who", "user_id", "action", "object", "detail"},
		page: func(ctx context.Context) (rows [][]string, last bool, err error) {
			all, err := s.o.Audit.List(ctx, q)
			for _, e := range all {
				rows = append(rows, []string{strconv.FormatInt(e.ID, 10), moment(e.At), e.Who, e.UserID, e.Action, e.Object, e.Detail})
				q.After = audit.Position{At: e.At, ID: e.ID}
			}
			return rows, len(all) < exportPage, err
		},
	})
}

func presentAuditEntry(e audit.Entry) public.AuditEntry {
	return public.AuditEntry{ID: e.ID, At: e.At, Who: e.Who, UserID: e.UserID, Action: e.Action, Object: e.Object, Detail: e.Detail}
}

func (s *Server) presentAuditState(state audit.State) public.AuditState {
	out := public.AuditState{
		Last: state.Last, LastAt: state.LastAt, Hash: hex.EncodeToString(state.Hash),
		Verified: state.Verified, VerifiedAt: state.VerifiedAt, Broken: state.Broken, FullAt: state.Full, Running: state.Running, Position: state.Position,
		Key: s.o.Audit.KeyID(), KeyPlace: string(s.o.Audit.KeyPlace()), MissingKey: state.Missing, Heads: []public.AuditHead{},
	}
	if s.o.Heads == nil {
		return out
	}
	for _, h := range s.o.Heads() {
		one := public.AuditHead{Target: h.Target, Entry: h.Entry, Failures: h.Failures, Failing: h.Err != nil}
		if !h.At.IsZero() {
			one.At = &h.At
		}
		out.Heads = append(out.Heads, one)
	}
	return out
}
