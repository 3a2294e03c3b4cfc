package web

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/hub/api/public"
	"gridpost/hub/internal/store/audit"
)

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

func (s *Server) listAudit(ctx context.Context, in *Page) (*auditOutput, error) {
	before, err := in.number()
	if err != nil {
		return nil, err
	}
	all, err := s.o.Audit.List(ctx, before, in.Limit)
	if err != nil {
		return nil, err
	}
	state, err := s.o.Audit.State(ctx)
	if err != nil {
		return nil, err
	}
	out := &auditOutput{}
	out.Body.Audit, out.Body.Broken, out.Body.State = convert(all, presentAuditEntry), state.Broken, s.presentAuditState(state)
	out.Body.Next = next(*in, all, func(last audit.Entry) string { return atNumber(last.ID) })
	return out, nil
}

func presentAuditEntry(e audit.Entry) public.AuditEntry {
	return public.AuditEntry{ID: e.ID, At: e.At, Who: e.Who, UserID: e.UserID, Action: e.Action, Object: e.Object, Detail: e.Detail}
}

func (s *Server) presentAuditState(state audit.State) public.AuditState {
	out := public.AuditState{
		Last: state.Last, Verified: state.Verified, VerifiedAt: state.VerifiedAt, Broken: state.Broken, FullAt: state.Full, Running: state.Running, Position: state.Position,
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
