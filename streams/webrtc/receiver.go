package webrtc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// receiver reads one track in order and asks the peer for what is missing.
type receiver struct {
	session *session
	track   *webrtc.TrackRemote
	reorder reorder
	drop    func(sequence uint16) bool // tests lose packets by it; nil loses none

	deliver func(a arrived, lost uint64) // in order; a.payload is the receiver's to keep
	lost    uint64                       // given up
	asked   uint64                       // sent NACKs named so many
	pli     time.Time                    // when a key picture was asked for last
	silent  time.Time                    // when the last packet came
	until   time.Time                    // read deadline that is set
}

const pliEvery = 500 * time.Millisecond

// run reads until the session ends, ctx ends or no packet has come for picturesWithin.
func (r *receiver) run(ctx context.Context) error {
	buffer := make([]byte, 1600)
	r.silent = time.Now()
	for {
		now := time.Now()
		if err := r.deadline(now); err != nil {
			return ErrLost
		}
		n, _, err := r.track.Read(buffer)
		now = time.Now()
		var timeout net.Error
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &timeout) && timeout.Timeout():
			r.until = time.Time{}
		case err != nil:
			return ErrClosedByPeer // the track ends with its connection
		default:
			if err := r.take(buffer[:n], now); err != nil {
				continue // no RTP; encrypted by the peer, so its own loss
			}
			r.silent = now
		}
		if err := r.drain(now); err != nil {
			return err
		}
		if now.Sub(r.silent) > picturesWithin {
			return ErrNoFrames
		}
	}
}

// deadline bounds the next read: shortly while something is missing, else by a second. It is
// renewed rarely, since setting it costs.
func (r *receiver) deadline(now time.Time) error {
	if r.reorder.waiting > 0 {
		r.until = now.Add(askEvery / 2)
	} else if r.until.Sub(now) > 300*time.Millisecond {
		return nil
	} else {
		r.until = now.Add(time.Second)
	}
	return r.track.SetReadDeadline(r.until)
}

func (r *receiver) take(b []byte, now time.Time) error {
	var h rtp.Header
	n, err := h.Unmarshal(b)
	if err != nil {
		return fmt.Errorf("reading an RTP header: %w", err)
	}
	if r.drop != nil && r.drop(h.SequenceNumber) {
		return nil
	}
	payload := b[n:]
	if h.Padding && len(payload) > 0 {
		payload = payload[:max(0, len(payload)-int(payload[len(payload)-1]))]
	}
	r.reorder.push(h.SequenceNumber, arrived{payload: slices.Clone(payload), timestamp: h.Timestamp, marker: h.Marker}, now)
	return nil
}

// drain delivers what is in order and asks for what is not there.
func (r *receiver) drain(now time.Time) error {
	for {
		a, lost, ok := r.reorder.pop(now)
		if !ok {
			break
		}
		r.lost += lost
		r.deliver(a, lost)
	}
	missing := r.reorder.missing(now)
	if len(missing) == 0 {
		return nil
	}
	r.asked += uint64(len(missing))
	err := r.session.pc.WriteRTCP([]rtcp.Packet{&rtcp.TransportLayerNack{
		MediaSSRC: uint32(r.track.SSRC()), Nacks: rtcp.NackPairsFromSequenceNumbers(missing),
	}})
	if err != nil {
		return fmt.Errorf("%w: asking for packets: %w", ErrLost, err)
	}
	return nil
}

// askKey asks the peer for a key picture, at most every pliEvery.
func (r *receiver) askKey(now time.Time) error {
	if now.Sub(r.pli) < pliEvery {
		return nil
	}
	r.pli = now
	err := r.session.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(r.track.SSRC())}})
	if err != nil {
		return fmt.Errorf("%w: asking for a key picture: %w", ErrLost, err)
	}
	return nil
}
