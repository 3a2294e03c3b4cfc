package audit

import (
	"context"
	"fmt"

	"gridpost/hub/internal/db"
)

// Report is the result of Verify.
type Report struct {
	State
	Heads []CheckedHead // in the order in which they were given, behind the one that this hub has written last
}

// Verify verifies the whole log now and compares heads with it. It relies on nothing that the database says about
// earlier verifications, since who can change the log can change that as well.
func (r *Repository) Verify(ctx context.Context, who string, heads ...Head) (Report, error) {
	out, err := r.verify(ctx, who, heads)
	if err != nil {
		return Report{}, fmt.Errorf("verifying the audit log: %w", err)
	}
	return out, nil
}

func (r *Repository) verify(ctx context.Context, who string, heads []Head) (out Report, err error) {
	// Heads come first: what is appended below could fill a log up to a head that it was cut off before.
	if out.Heads, err = r.checkHeads(ctx, heads); err != nil {
		return out, err
	}
	if err := r.Record(ctx, Entry{Who: who, Action: "audit verify"}); err != nil {
		return out, err
	}
	found, to, err := r.verifyAll(ctx)
	if err != nil {
		return out, err
	}
	missing := found.missing
	for _, h := range out.Heads {
		found.broken = first(found.broken, h.Broken)
	}
	err = r.db.Update(ctx, "audit_check", func(t *db.Tx) error {
		c, err := readCheck(t.Reader, t.ForUpdate())
		if err != nil {
			return err
		}
		c.found(found)
		c.complete(missing, t.Now())
		c.pass = to
		if to.id > c.verified.id {
			c.verified, c.verifiedAt = to, db.Millis(t.Now())
		}
		return c.write(t)
	})
	if err != nil {
		return out, err
	}
	out.State, err = r.State(ctx)
	return out, err
}

func (r *Repository) checkHeads(ctx context.Context, heads []Head) (out []CheckedHead, err error) {
	if r.memory != nil {
		h, err := r.memory.Last()
		if err != nil {
			return nil, err
		}
		if h != nil {
			heads = append([]Head{*h}, heads...)
		}
	}
	for _, h := range heads {
		c, err := r.CheckHead(ctx, h)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// verifyAll verifies the whole log and returns its end. It begins anew when entries are deleted by their age
// meanwhile.
func (r *Repository) verifyAll(ctx context.Context) (finding, link, error) {
	for {
		end, err := readHead(r.db.Read(ctx), "")
		if err != nil {
			return finding{}, link{}, err
		}
		found, err := r.passOver(ctx, end)
		if err != nil {
			return finding{}, link{}, err
		}
		now, err := readHead(r.db.Read(ctx), "")
		if err != nil || now.base.id == end.base.id {
			return found, end.last, err
		}
	}
}

// passOver verifies the log up to an end once.
func (r *Repository) passOver(ctx context.Context, end head) (all finding, err error) {
	read, keys := r.db.Read(ctx), r.keys()
	all = end.checkSeal(keys)
	for at := end.base; ; {
		to, found, err := follow(read, at, end, keys, batch)
		if err != nil {
			return all, err
		}
		all.broken, all.missing = first(all.broken, found.broken), first(all.missing, found.missing)
		if to.id >= end.last.id || to.id == at.id {
			return all, nil
		}
		at = to
	}
}
