package web

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// register adds the handler of an operation whose method, path and role are in the table of routes.
func register[I, O any](s *Server, op huma.Operation, handle func(context.Context, *I) (*O, error)) {
	op.MaxBodyBytes = maxInput
	op.BodyReadTimeout = -1 // package body bounds it; huma's own deadline would never be lifted, and end the request
	describe(&op, s.plan.take(op.OperationID))
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, s.problemOf(ctx, op.OperationID, err)
		}
		return out, nil
	})
}

// describe adds to an operation what the table of routes says of it.
func describe(op *huma.Operation, r route) {
	op.Method, op.Path = r.method, r.path
	if r.need == "" {
		op.Security = []map[string][]string{}
		return
	}
	op.Security = []map[string][]string{{"token": {}}, {"session": {}}}
	op.Errors = append(op.Errors, http.StatusUnauthorized, http.StatusForbidden)
	op.Description = strings.TrimSpace(op.Description + " Needs the role " + string(r.need) + r.reach.suffix())
}

// pageInput is the input of an operation that lists things: it embeds Page.
type pageInput interface{ page() Page }

// list is what an operation that lists things needs beside its description. I is its input, T an
// entry, O the answer.
type list[I pageInput, T, O any] struct {
	fetch  func(context.Context, I) ([]T, error) // the entries of one page, in order; Limit of them at most
	cursor func(last T) string                   // the position of the page after an entry; read by fetch
	answer func(entries []T, next *string) *O
}

// registerList adds an operation that lists things by pages.
func registerList[I, T, O any, P interface {
	*I
	pageInput
}](s *Server, op huma.Operation, l list[P, T, O]) {
	register(s, op, func(ctx context.Context, in *I) (*O, error) {
		entries, err := l.fetch(ctx, P(in))
		if err != nil {
			return nil, err
		}
		return l.answer(entries, next(P(in).page(), entries, l.cursor)), nil
	})
}

// registerChange adds an operation that changes one thing, which may not exist, and answers 204.
func registerChange[I any](s *Server, op huma.Operation, change func(context.Context, *I) error) {
	op.DefaultStatus = http.StatusNoContent
	if !slices.Contains(op.Errors, http.StatusNotFound) {
		op.Errors = append([]int{http.StatusNotFound}, op.Errors...)
	}
	register(s, op, func(ctx context.Context, in *I) (*struct{}, error) { return nil, change(ctx, in) })
}

// registerRemoval adds an operation that removes one thing, which may not exist, and answers 204.
func registerRemoval[I any](s *Server, op huma.Operation, remove func(context.Context, *I) error) {
	registerChange(s, op, remove)
}

// convert converts entries of a repository to those of the public API. The list is never nil.
func convert[T, P any](all []T, one func(T) P) []P {
	out := make([]P, len(all))
	for i, v := range all {
		out[i] = one(v)
	}
	return out
}
