package webrtc

import "time"

// playoutDelay decides how long a viewer's player keeps a frame before it shows it, by the header extension
// playout-delay (http://www.webrtc.org/experiments/rtp-hdrext/playout-delay). On a line that loses nothing that is
// zero. Where packets are lost, every frame that has to wait for a retransmission would freeze the video if the player
// had none in hand; so the delay then has room for two retransmissions of the same packet, which take two round trips.
// It rises in steps that are too small to be a freeze themselves, and falls slowly once nothing is lost any more.
//
// It has no goroutine and reads no clock. It is not safe for concurrent use.
type playoutDelay struct {
	changes   []playoutChange // the newest last, at most playoutChanges; older packets can no longer be retransmitted
	changedAt time.Time

	lossAt  time.Time // when a loss was counted last
	losses  int       // counted without a pause of lossPause
	lossyAt time.Time // when losses last reached lossesLeast
}

// playoutChange is the delay of the packets from a sequence number on.
type playoutChange struct {
	sequence uint64 // extended
	delay    time.Duration
}

const (
	playoutUnit    = 10 * time.Millisecond  // of the extension's values
	playoutReserve = 60 * time.Millisecond  // a loss is noticed with the next packet, which may be that of the next frame
	playoutMost    = 500 * time.Millisecond // dispatchers act on what they see
	playoutRaise   = 50 * time.Millisecond
	playoutRaiseAt = 250 * time.Millisecond // at most so often
	playoutLower   = 10 * time.Millisecond
	playoutLowerAt = time.Second
	playoutChanges = 64 // 16 s at least, while players request packets for patience

	lossEvery      = 100 * time.Millisecond // what is lost within this time is one loss: a queue that was full once
	lossPause      = 5 * time.Second        // losses that are further apart do not make a line lossy
	lossesLeast    = 3
	lossRemembered = 30 * time.Second
)

// onLoss notes that packets were requested for the first time.
func (d *playoutDelay) onLoss(now time.Time) {
	switch since := now.Sub(d.lossAt); {
	case since < lossEvery:
		return
	case since > lossPause:
		d.losses = 0
	}
	d.lossAt = now
	if d.losses++; d.losses >= lossesLeast {
		d.lossyAt = now
	}
}

// update changes the delay of the packets from sequence on, if that is due, for a line with this round trip.
func (d *playoutDelay) update(trip time.Duration, sequence uint64, now time.Time) {
	var target time.Duration
	if !d.lossyAt.IsZero() && now.Sub(d.lossyAt) < lossRemembered {
		target = min(2*trip+playoutReserve, playoutMost).Truncate(playoutUnit)
	}
	delay := d.at(sequence)
	switch since := now.Sub(d.changedAt); {
	case target > delay && since >= playoutRaiseAt:
		delay = min(target, delay+playoutRaise)
	case target < delay && since >= playoutLowerAt:
		delay = max(target, delay-playoutLower)
	default:
		return
	}
	d.changedAt = now
	if len(d.changes) == playoutChanges {
		d.changes = append(d.changes[:0], d.changes[1:]...)
	}
	d.changes = append(d.changes, playoutChange{sequence, delay})
}

// at returns the delay of the packet with this sequence number, the same each time: a retransmitted packet must have
// the same bytes.
func (d *playoutDelay) at(sequence uint64) time.Duration {
	for i := len(d.changes) - 1; i >= 0; i-- {
		if c := d.changes[i]; sequence >= c.sequence {
			return c.delay
		}
	}
	return 0
}

// known reports whether at knows the delay of the packet.
func (d *playoutDelay) known(sequence uint64) bool {
	return len(d.changes) < playoutChanges || sequence >= d.changes[0].sequence
}

// playoutValue returns the value of the extension: the least and the largest delay in units of 10 ms, 12 bits each. delay
// is at most playoutMost; a player with a delay may wait as long as that if it finds that it has to.
func playoutValue(delay time.Duration) (v [3]byte) {
	if delay <= 0 {
		return v
	}
	bits := uint32(delay/playoutUnit)<<12 | uint32(playoutMost/playoutUnit)
	return [3]byte{byte(bits >> 16), byte(bits >> 8), byte(bits)}
}
