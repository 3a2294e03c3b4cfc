// Package wire is the protocol that the edge and a worker process speak over a socket.
//
// A message is a four-byte big-endian length, a type byte, and a body. Bodies are JSON, except
// for the access unit and the JPEG, whose bytes follow a fixed header. Either side closes
// the connection on anything that does not parse: the edge treats a worker as hostile, because
// it has parsed the bytes of a camera.
//
// One worker serves one camera. The package is pure Go and imports only detection and streams
// from Gridpost.
package wire

import (
	"time"

	"gridpost/detection"
	"gridpost/streams"
)

// Type is the kind of a message.
type Type byte

// The messages. The comment names the body and the direction.
const (
	TypeConfig     Type = 1 // Config, edge to worker, first and once
	TypeReady      Type = 2 // Ready, worker to edge, answer to Config: the model has been loaded and tried
	TypeAccessUnit Type = 3 // AccessUnit, edge to worker
	TypeResult     Type = 4 // Result, worker to edge: one for every AccessUnit, in order, or one per analysed frame of a file
	TypeSnapshot   Type = 5 // Snapshot, edge to worker: draw boxes on a frame and return it as JPEG
	TypeJPEG       Type = 6 // JPEG, worker to edge
	TypeEnd        Type = 8 // End, worker to edge: the end of a file, or why the worker stops
)

// MaxBody bounds a message's body in bytes.
const MaxBody = 16 << 20

// Config configures a worker. It is the first message.
type Config struct {
	Model  string  `json:"model"`  // path of an ONNX file; empty: motion detection only
	Labels string  `json:"labels"` // path of a file with one label per line
	Rate   float64 `json:"rate"`   // frames analysed per second at most; 0: 10

	// Video is the path of a video file to analyse instead of access units, as fast as possible. The
	// worker sends a Result for each analysed frame, and End.
	Video string `json:"video,omitempty"`

	Limits Limits `json:"limits"`
}

// Limits are what the worker imposes on itself before it parses the first byte of a camera.
type Limits struct {
	Memory uint64 `json:"memory"` // bytes of private writable memory

	// User and Group are the IDs to change to once the files are open; 0: keep those of the edge.
	User  int `json:"user,omitempty"`
	Group int `json:"group,omitempty"`
}

// Ready says that the worker accepts access units.
type Ready struct {
	Version  string `json:"version"`  // of the worker's program
	Detector string `json:"detector"` // description of the detector and its runtime, for people
	Confined string `json:"confined"` // description of how the process is confined, for people
}

// AccessUnit is one encoded frame. Its NALUs travel in Annex B form (ITU-T H.264, annex B).
type AccessUnit struct {
	Codec    streams.Codec
	Session  uint32
	PTS      time.Duration
	Arrived  time.Time
	Keyframe bool
	Data     []byte
}

// Result is the outcome of one access unit.
type Result struct {
	Analysed bool            `json:"analysed"` // false: decoded only, to keep the rate, or not decodable
	Error    string          `json:"error,omitempty"`
	Width    int             `json:"width"` // pixels
	Height   int             `json:"height"`
	Frame    detection.Frame `json:"frame"`
}

// Mark is a box to draw.
type Mark struct {
	Box   detection.Box `json:"box"`
	Label string        `json:"label"` // ASCII
}

// Snapshot requests the frame of (Session, PTS), or the nearest one that the worker still
// holds, with the marks drawn on it.
type Snapshot struct {
	ID      uint64        `json:"id"`
	Session uint32        `json:"session"`
	PTS     time.Duration `json:"pts"`
	Marks   []Mark        `json:"marks"`
}

// JPEG answers a Snapshot.
type JPEG struct {
	ID    uint64
	PTS   time.Duration // of the frame that was drawn
	Error string        // no frame is held, or it could not be encoded; Data is empty then
	Data  []byte
}

// End is the worker's last message. Error is empty when a file was read to its end.
type End struct {
	Error string `json:"error,omitempty"`
}
