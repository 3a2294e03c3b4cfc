package supervisor

import (
	"fmt"
	"os"
	"time"

	"gridpost/detection"
	"gridpost/detection/wire"
)

// joinInference returns the camera's place at the object model, and its slot for the worker; nil if there
// is no model.
func (s *Supervisor) joinInference() (*lookClient, []*os.File) {
	if s.o.Inference == nil {
		return nil, nil
	}
	client, err := s.o.Inference.join(s.o.Urgent)
	if err != nil {
		s.o.Logger.Warn("the camera gets no looks of the object model; motion is detected", "camera", s.o.Camera, "cause", err)
		return nil, nil
	}
	return client, []*os.File{client.file}
}

// sessionLooks are the looks of one worker. There is one at a time. A nil *sessionLooks is that of a camera
// without an object model: it grants nothing. It belongs to the session's goroutine.
type sessionLooks struct {
	client *lookClient
	fetch  wire.Look // whose frame was requested from the worker; its ID is 0: none
	frame  lookFrame

	moving []movingFrame // the last frames that the model may look at, oldest first; at most maxMoving
}

// maxMoving bounds the frames whose moving boxes are held: the model takes one of the newest.
const maxMoving = 8

// movingFrame is what moves in a frame, by detection of motion alone.
type movingFrame struct {
	id    frameID
	boxes []detection.Box
}

// lookFrame is the frame that the model sees.
type lookFrame struct {
	id      uint64 // of the look
	session uint32
	pts     time.Duration
	arrived time.Time
	w, h    int
	moving  []detection.Box
}

func newSessionLooks(client *lookClient) *sessionLooks {
	if client == nil {
		return nil
	}
	return &sessionLooks{client: client}
}

// grants returns the channel of granted looks. While the worker has not answered the last one, there are
// no more.
func (l *sessionLooks) grants() <-chan wire.Look {
	if l == nil || l.fetch.ID != 0 {
		return nil
	}
	return l.client.grants
}

func (l *sessionLooks) results() <-chan lookResult {
	if l == nil {
		return nil
	}
	return l.client.results
}

// requested reports whether the worker owes a frame.
func (l *sessionLooks) requested() bool { return l != nil && l.fetch.ID != 0 }

// want notes that the worker has analysed a frame. It reports false if motion is to be detected.
func (l *sessionLooks) want(moving bool) bool { return l != nil && l.client.want(moving) }

// note holds what moves in a frame that the model may look at.
func (l *sessionLooks) note(f detection.Frame) {
	if len(l.moving) >= maxMoving {
		l.moving = append(l.moving[:0], l.moving[1:]...)
	}
	boxes := make([]detection.Box, len(f.Detections))
	for i, d := range f.Detections {
		boxes[i] = d.Box
	}
	l.moving = append(l.moving, movingFrame{id: frameID{f.Session, f.PTS}, boxes: boxes})
}

// movingIn returns what moves in a frame that was noted.
func (l *sessionLooks) movingIn(id frameID) []detection.Box {
	for _, f := range l.moving {
		if f.id == id {
			return f.boxes
		}
	}
	return nil
}

// requestLook requests the newest frame from the worker.
func (w *session) requestLook(look wire.Look) {
	if !w.busy() {
		w.progress = time.Now()
	}
	w.looks.fetch = look
	w.out <- look
}

// looked handles the frame that the worker has put into its slot.
func (w *session) looked(m wire.Looked) error {
	look := w.looks.fetch
	if !w.looks.requested() || m.ID != look.ID {
		return fmt.Errorf("a frame that was not requested: %w", wire.ErrMalformed)
	}
	w.looks.fetch = wire.Look{}
	if m.Width == 0 {
		w.looks.client.none(m.ID)
		return nil
	}
	sane := func(n, most int) bool { return n > 0 && n <= most }
	arrived, known := w.arrived(m.Session, m.PTS)
	// The model fails on a frame that is larger than its input, and so for all cameras.
	if !known || !sane(m.Width, look.Width) || !sane(m.Height, look.Height) || !sane(m.FrameWidth, maxSide) || !sane(m.FrameHeight, maxSide) {
		return fmt.Errorf("an unknown frame for the object model: %w", wire.ErrMalformed)
	}
	if w.looks.client.submit(m.ID, m.Width, m.Height) {
		w.looks.frame = lookFrame{id: m.ID, session: m.Session, pts: m.PTS, arrived: arrived, w: m.FrameWidth, h: m.FrameHeight, moving: w.looks.movingIn(frameID{m.Session, m.PTS})}
	}
	return nil
}

// lookResult passes on what the model detected.
func (w *session) lookResult(found lookResult) {
	f := w.looks.frame
	if f.id != found.id {
		return // of a process that has been replaced
	}
	w.looks.frame = lookFrame{}
	w.countLook()
	w.publish(wire.Result{Analysed: true, Width: f.w, Height: f.h, Frame: detection.Frame{
		Session: f.session, PTS: f.pts, Time: f.arrived, Detections: found.detections,
		Modelled: true, Moving: f.moving,
	}})
}
