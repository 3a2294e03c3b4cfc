// Package wire is what the edge and a worker process say to each other over a socket.
//
// A message is a four-byte big-endian length, a type byte, and a body. Bodies are JSON, but
// for the coded picture and the JPEG, whose bytes follow a fixed header. Either side closes
// the connection on anything that does not parse: the edge treats a worker as hostile, because
// it has parsed what a camera sent.
//
// One worker serves one camera. The package is pure Go and imports nothing of Gridpost but
// detection and streams.
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
	TypeConfig   Type = 1 // Config, edge to worker, first and once
	TypeReady    Type = 2 // Ready, worker to edge, answer to Config: the model has been loaded and tried
	TypeUnit     Type = 3 // Unit, edge to worker: a coded picture
	TypeResult   Type = 4 // Result, worker to edge: one for every Unit, in order, or one per analysed frame of a file
	TypeSnapshot Type = 5 // Snapshot, edge to worker: draw boxes into a picture and return it as JPEG
	TypeJPEG     Type = 6 // JPEG, worker to edge
	TypeFile     Type = 7 // File, edge to worker instead of units: analyse a video file
	TypeEnd      Type = 8 // End, worker to edge: the file is over, or why the worker gives up
)

// MaxBody bounds a message's body in bytes.
const MaxBody = 16 << 20

// Config is what a worker must know before it starts.
type Config struct {
	Model  string  `json:"model"`  // path of an ONNX file; empty: motion and size
	Labels string  `json:"labels"` // path of a file with one label a line
	Rate   float64 `json:"rate"`   // frames analysed a second at most; 0: 10
}

// Ready says that the worker takes pictures now.
type Ready struct {
	Version  string `json:"version"`  // of the worker's program
	Detector string `json:"detector"` // in words: what detects, with which runtime
}

// Unit is a coded picture. Its NALUs travel in Annex B form (ITU-T H.264, annex B).
type Unit struct {
	Codec   streams.Codec
	Session uint32
	PTS     time.Duration
	Arrived time.Time
	Key     bool
	Data    []byte
}

// Result is what became of one picture.
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

// Snapshot asks for the picture of (Session, PTS), or the nearest one that the worker still
// holds, with marks drawn.
type Snapshot struct {
	ID      uint64        `json:"id"`
	Session uint32        `json:"session"`
	PTS     time.Duration `json:"pts"`
	Marks   []Mark        `json:"marks"`
}

// JPEG answers a Snapshot.
type JPEG struct {
	ID    uint64
	PTS   time.Duration // of the picture that was found
	Error string        // no picture is held, or it could not be coded; Data is empty then
	Data  []byte
}

// File asks the worker to read a video file itself and to analyse it as fast as it can.
type File struct {
	Path string `json:"path"`
}

// End closes the worker's side. Error is empty when a file was read to its end.
type End struct {
	Error string `json:"error,omitempty"`
}
