// Package detection has the types from which incidents are made.
//
// A Detection is a box with a class in one frame; a Track is the same object followed over frames;
// a rule decides when tracks or readings become an Incident. All times are those of the frame or
// reading, never those of the computation, so that a recording gives the same incidents as the live
// camera did.
//
// The package and its parts are pure Go. Native code is in detection/worker, a process of its own
// that is controlled by detection/supervisor. The package must not import edge or hub.
package detection

import "time"

// Box is a rectangle in fractions of the frame, 0..1, origin at the top left.
// Its JSON form is [x, y, w, h].
type Box struct{ X, Y, W, H float64 }

// Area returns the fraction of the frame that b covers, 0..1.
func (b Box) Area() float64 { return b.W * b.H }

// Foot returns the middle of b's lower edge: where an object touches the ground.
func (b Box) Foot() Point { return Point{b.X + b.W/2, b.Y + b.H} }

// Center returns the middle of b.
func (b Box) Center() Point { return Point{b.X + b.W/2, b.Y + b.H/2} }

// Point is a position in the frame in fractions, 0..1, origin at the top left.
// Its JSON and YAML form is [x, y].
type Point struct{ X, Y float64 }

// Motion is the class of detections when no model is configured, and of what moves unknown to the model: pixels moved.
const Motion = "motion"

// Detection is one object in one frame.
type Detection struct {
	Class string  `json:"class"` // Motion, or a label of the configured model
	Score float64 `json:"score"` // 0..1; 1 for Motion
	Box   Box     `json:"box"`
}

// Frame is what the worker detected in one frame.
type Frame struct {
	Session    uint32        `json:"session"` // of the stream: a new one means that no track continues
	PTS        time.Duration `json:"pts"`     // of the frame
	Time       time.Time     `json:"time"`    // wall clock at which the frame arrived
	Detections []Detection   `json:"detections"`

	// Modelled means that an object model has looked at the frame, and named what it detected. Moving are the boxes
	// of what moves in the frame, or came and stands still, whether the model knows it or not. They are not set
	// without a model.
	Modelled bool  `json:"modelled,omitempty"`
	Moving   []Box `json:"moving,omitempty"`
}

// Track is one object followed over frames.
type Track struct {
	ID    uint64
	Class string  // the class seen most often lately
	Score float64 // median of the last detections
	Box   Box     // of the last detection
	First time.Time
	Last  time.Time
	Trail []Point // Foot of each detection, oldest first, bounded

	// Modelled means that an object model has looked at it: if its class is Motion, then because the model does not
	// know what moves there. Moving means that something moved there in the last frame, or came and stands still.
	Modelled, Moving bool
}

// Severity is the scale of the Common Alerting Protocol (OASIS CAP 1.2, section 3.2.2).
type Severity string

// The severities, mildest first.
const (
	Minor    Severity = "minor"
	Moderate Severity = "moderate"
	Severe   Severity = "severe"
	Extreme  Severity = "extreme"
)

// Direction is a direction across a line, as seen in the frame.
type Direction string

// The directions. Up is towards the top of the frame.
const (
	AnyDirection Direction = "any"
	Up           Direction = "up"
	Down         Direction = "down"
	Left         Direction = "left"
	Right        Direction = "right"
)
