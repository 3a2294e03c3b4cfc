// Package wire is the protocol that the edge and a worker process speak over a socket.
//
// A message is a four-byte big-endian length, a type byte, and a body. Bodies are JSON, except
// for the access unit and the JPEG, whose bytes follow a fixed header. Either side closes
// the connection on anything that does not parse: the edge treats a worker as hostile, because
// it has parsed the bytes of a camera.
//
// One worker serves one camera. The package is pure Go and imports only detection, its
// package health and streams from Gridpost.
package wire

import (
	"time"

	"gridpost/detection"
	"gridpost/detection/health"
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

	TypeLook     Type = 11 // Look, edge to worker: put the newest frame into the worker's slot
	TypeLooked   Type = 12 // Looked, worker to edge: one for each Look
	TypeInfer    Type = 9  // Infer, edge to inference process: run the model on a frame
	TypeInferred Type = 10 // Inferred, inference process to edge: one for each Infer, in order
)

// MaxBody bounds a message's body in bytes.
const MaxBody = 16 << 20

// Config configures a worker. It is the first message.
type Config struct {
	Model  string  `json:"model"`  // path of an ONNX file; empty: motion detection only
	Labels string  `json:"labels"` // path of a file with one label per line
	Rate   float64 `json:"rate"`   // frames analysed per second at most; 0: 10

	// Threads is how many threads run the model; 0: 1.
	Threads int `json:"threads,omitempty"`

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

	Model *Model `json:"model,omitempty"` // of an inference process
}

// Model describes a loaded model.
type Model struct {
	Head    string   `json:"head"`    // name of the head that reads its outputs
	Inputs  []string `json:"inputs"`  // with type and shape, for people
	Outputs []string `json:"outputs"` // likewise
	Labels  []string `json:"labels"`  // names of its classes
	Width   int      `json:"width"`   // of its input, pixels
	Height  int      `json:"height"`
	Stretch bool     `json:"stretch"` // frames are stretched to its input; else they keep their aspect ratio

	// Inference is how long one inference takes, measured when the process was started; Runtime is the
	// part of it that is spent in the bare call of the runtime.
	Inference time.Duration `json:"inference"`
	Runtime   time.Duration `json:"runtime"`

	// CPU is the processor time of one inference, on all threads. Other load of the machine hardly changes
	// it.
	CPU time.Duration `json:"cpu"`
}

// AccessUnit is one encoded frame of video. NALUs travel in Annex B form (ITU-T H.264, annex B), motion JPEG as a
// complete image.
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

	// Moving means that something moves in the frame, or moved a short time before.
	Moving bool `json:"moving,omitempty"`

	// Sample is there about once a second of the stream, for camera health. It is of the frame, which need not
	// have been analysed, or says that none could be decoded.
	Sample *health.Sample `json:"sample,omitempty"`
}

// Mark is a box to draw.
type Mark struct {
	Box   detection.Box `json:"box"`
	Label string        `json:"label"` // ASCII
}

// MaxMarkOffset is how far a frame may be from the one that the marks belong to. Further away they would show where
// something is not.
const MaxMarkOffset = 200 * time.Millisecond

// Snapshot requests the frame of (Session, PTS), or the nearest one that the worker still
// holds, with the marks drawn on it unless it is more than MaxMarkOffset away.
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

// The memory through which frames reach the model. Each camera has a slot: a memory file of SlotSize
// bytes that its worker writes and the inference process reads, blue, green, red, rows without padding.
const (
	SlotSize = 3 * MaxInput * MaxInput
	MaxInput = 2048 // pixels of a model's width and height
	MaxSlots = 64
)

// Look requests the newest frame that was analysed, for a model with an input of Width x Height pixels.
type Look struct {
	ID      uint64 `json:"id"`
	Width   int    `json:"width"`
	Height  int    `json:"height"`
	Stretch bool   `json:"stretch,omitempty"` // to the whole input; else the frame keeps its aspect ratio
}

// Looked answers a Look.
type Looked struct {
	ID uint64 `json:"id"`

	// Width and Height are the size in pixels of what is in the slot; 0: there is no frame that was not
	// requested before.
	Width  int `json:"width"`
	Height int `json:"height"`

	Session     uint32        `json:"session"` // of the frame
	PTS         time.Duration `json:"pts"`
	FrameWidth  int           `json:"frame_width"` // of the frame as it was decoded, pixels
	FrameHeight int           `json:"frame_height"`
}

// Infer requests the objects in the frame that lies in a slot.
type Infer struct {
	ID     uint64 `json:"id"`
	Slot   int    `json:"slot"`
	Width  int    `json:"width"` // of the frame, pixels
	Height int    `json:"height"`
}

// Inferred answers an Infer.
type Inferred struct {
	ID         uint64                `json:"id"`
	Detections []detection.Detection `json:"detections,omitempty"`
	Error      string                `json:"error,omitempty"` // why the model did not run
	Inference  time.Duration         `json:"inference"`       // time that it took in all
	Runtime    time.Duration         `json:"runtime"`         // time in the bare call of the runtime
}
