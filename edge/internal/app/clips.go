package app

import (
	"context"

	"gridpost/edge/internal/clips"
	"gridpost/edge/internal/uplink"
	"gridpost/firmware-config/enrol"
	"gridpost/hub/api"
	"gridpost/streams/fmp4"
)

// newClips returns what records clips, with those that the last run has left.
func (e *edge) newClips(ctx context.Context) *clips.Recorder {
	unfinished, err := e.store.UnfinishedClips(context.WithoutCancel(ctx))
	if err != nil {
		e.o.Logger.Warn("clips that were interrupted cannot all be saved", "error", err)
	}
	return clips.New(clips.Options{
		Edge: e.name, Store: e.store, Signer: e.signer, Clock: e.clockGrade, Logger: e.o.Logger, Unfinished: unfinished,
	})
}

// signer returns the key of the edge, as it is now: it changes when the edge is enrolled and when its certificate is renewed.
func (e *edge) signer() (fmp4.Signer, error) {
	id, err := enrol.Load(e.o.Dir)
	if err != nil {
		return fmp4.Signer{}, err
	}
	key, certificate, err := id.Signer()
	return fmp4.Signer{Key: key, Certificate: certificate}, err
}

func (e *edge) clockGrade() api.ClockGrade { return e.link.Clock() }

// clipShare returns what clips may use of the line to the hub.
func (e *edge) clipShare() uplink.Share {
	e.mu.Lock()
	defer e.mu.Unlock()
	return uplink.Share{Rate: e.base.Hub.Upload * 1e6, Video: e.publish.Active()}
}
