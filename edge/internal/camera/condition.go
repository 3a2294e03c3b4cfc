package camera

import (
	"strconv"

	"gridpost/devices"
	"gridpost/streams/rtsp"
)

// Problems returns what is wrong with detection and with snapshots. A camera without frames reports
// that by its own state.
func (c *Camera) Problems() []devices.Cause {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []devices.Cause
	if !c.subCause.IsZero() {
		out = append(out, devices.NewCause("detection_no_frames", "device", c.name).Because(c.subCause))
	}
	if loss := c.Loss(); loss.Heavy() {
		out = append(out, devices.NewCause("camera_losing_packets", "device", c.name,
			"percent", strconv.FormatFloat(loss.Percent(), 'f', 1, 64), "count", strconv.FormatUint(loss.Received+loss.Lost, 10)))
	}
	if !c.workerCause.IsZero() {
		out = append(out, devices.NewCause("detection_stopped", "device", c.name).Because(c.workerCause))
	} else if c.inference != nil {
		if cause := c.inference.Cause(); !cause.IsZero() {
			out = append(out, devices.NewCause("detection_without_model", "device", c.name).Because(cause))
		}
	}
	if c.missed > 0 {
		out = append(out, devices.NewCause("snapshots_missed",
			"device", c.name, "count", strconv.FormatUint(c.missed, 10), "reason", c.missedCause))
	}
	if c.noClips > 0 {
		out = append(out, devices.NewCause("clips_missed",
			"device", c.name, "count", strconv.FormatUint(c.noClips, 10), "reason", c.noClipsCause))
	}
	return out
}

// sources returns the source of the main stream, and that of the stream for detection if it is another.
func (c *Camera) sources() []*rtsp.Source {
	if c.sub == nil {
		return []*rtsp.Source{c.source}
	}
	return []*rtsp.Source{c.source, c.sub}
}

// Loss returns what the camera's streams lost in the last minute: of two streams the one with the larger share.
func (c *Camera) Loss() rtsp.Loss {
	var worst rtsp.Loss
	for _, s := range c.sources() {
		if loss := s.Loss(); worst == (rtsp.Loss{}) || loss.Percent() > worst.Percent() {
			worst = loss
		}
	}
	return worst
}

// missedSnapshot counts a snapshot that was missed. It stays a problem until one could be taken.
func (c *Camera) missedSnapshot(incident, reason string) {
	c.missedSnapshots.Add(1)
	c.logger.Warn("no snapshot of an incident", "incident", incident, "reason", reason)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.missed++
	c.missedCause = reason
}

// savedSnapshot counts a snapshot that was saved.
func (c *Camera) savedSnapshot() {
	c.savedSnapshots.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.missed, c.missedCause = 0, ""
}

// Count adds the camera's counters to n.
func (c *Camera) Count(n map[string]uint64) {
	st := c.stream.Stats()
	n["edge_units_total"] += st.AccessUnits
	n["edge_unit_bytes_total"] += st.Bytes
	n["edge_units_dropped_total"] += st.Dropped
	for _, source := range c.sources() {
		src := source.Stats()
		n["edge_camera_sessions_total"] += src.Sessions
		n["edge_camera_packets_total"] += src.Packets
		n["edge_camera_lost_packets_total"] += src.LostPackets
		n["edge_camera_damaged_frames_total"] += src.Dropped
	}
	n["edge_results_dropped_total"] += c.droppedResults.Load()
	n["edge_snapshots_total"] += c.savedSnapshots.Load()
	n["edge_snapshots_missed_total"] += c.missedSnapshots.Load()
	n["edge_clips_total"] += c.savedClips.Load()
	n["edge_clips_missed_total"] += c.missedClips.Load()
	n["edge_snapshots_small_total"] += c.mainStillsMissed.Load()
	if c.detect != c.stream {
		n["edge_units_dropped_total"] += c.detect.Stats().Dropped
	}
	w := c.workerStats()
	n["edge_worker_restarts_total"] += w.Restarts
	n["edge_worker_crashes_total"] += w.Crashes
	n["edge_worker_quarantines_total"] += w.Quarantines
	n["edge_frames_analysed_total"] += w.Analysed
	n["edge_frames_repeated_total"] += w.Repeated
	n["edge_looks_total"] += w.Looks
	n["edge_worker_cpu_milliseconds_total"] += uint64(w.CPU.Milliseconds())
}
