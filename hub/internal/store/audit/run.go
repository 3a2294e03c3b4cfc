package audit

import (
	"context"
	"log/slog"
	"time"

	"gridpost/devices/retry"
)

// Job is the kind of the periodic job that runs RunJob, on one hub of a database at a time.
const Job = "audit verification"

const (
	// JobEvery is the pause between two runs of the job: how old an entry can get before it is verified.
	JobEvery = time.Minute

	stepPause = 50 * time.Millisecond // between the batches of a verification
)

// RunJob verifies what there is to verify: new entries, and the whole log once a day and when that is
// requested.
func (r *Repository) RunJob(ctx context.Context, log *slog.Logger) error {
	before, err := r.State(ctx)
	if err != nil {
		return err
	}
	for {
		more, err := r.Step(ctx)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if !retry.Sleep(ctx, stepPause) {
			return nil // the next run goes on
		}
	}
	after, err := r.State(ctx)
	if err != nil {
		return err
	}
	if after.Broken != 0 && after.Broken != before.Broken {
		log.Error("the audit log was changed", "entry", after.Broken)
	}
	if after.Missing != 0 && after.Missing != before.Missing {
		log.Error("entries of the audit log cannot be verified: their key is not known here", "entry", after.Missing)
	}
	return nil
}
