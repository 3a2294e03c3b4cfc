package wire

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"gridpost/streams"
)

// The layout of the bodies that are not JSON. All numbers are big-endian.
const (
	headerSize           = 5  // body length (4), type (1)
	accessUnitHeaderSize = 24 // codec (1), flags (1), zero (2), session (4), PTS in ns (8), arrival in ns since 1970 (8)
	jpegHeaderSize       = 18 // ID (8), PTS in ns (8), length of the error text (2); then the text, then the JPEG

	flagKeyframe byte = 1

	codecH264 byte = 1
	codecH265 byte = 2
	codecJPEG byte = 3

	// maxJSON bounds a JSON body, far above the largest that either side sends.
	maxJSON = 1 << 20

	// maxKeptBuffer is the size in bytes above which a buffer is not reused for the next message.
	maxKeptBuffer = 2 << 20
)

// ErrMalformed is wrapped by Receive's error when the peer broke the protocol. The
// connection cannot be used afterwards.
var ErrMalformed = errors.New("malformed message")

// Conn frames messages over a byte stream. One goroutine may send while another receives;
// neither Send nor Receive may be called by two goroutines at a time.
type Conn struct {
	rw  io.ReadWriteCloser
	in  *bufio.Reader
	buf []byte // body of the message received last
	out []byte // buffer of the message sent last

	accessUnit AccessUnit // received last
}

// NewConn returns a connection over rw, and takes ownership of it.
func NewConn(rw io.ReadWriteCloser) *Conn {
	return &Conn{rw: rw, in: bufio.NewReaderSize(rw, 64<<10)}
}

// Close closes the byte stream; a blocked Send or Receive returns if the stream's Read and Write do.
func (c *Conn) Close() error { return c.rw.Close() }

// Send writes msg: one of this package's messages, by value or by pointer. It blocks until
// the stream has taken all of it. An *AccessUnit costs no allocation once the buffer has grown.
func (c *Conn) Send(msg any) error {
	out, err := appendMessage(c.out[:0], msg)
	if err != nil {
		return err
	}
	if cap(out) <= maxKeptBuffer {
		c.out = out
	}
	if _, err := c.rw.Write(out); err != nil {
		return fmt.Errorf("sending %T: %w", msg, err)
	}
	return nil
}

// Receive reads the next message and returns it by value, except for an access unit, which is
// an *AccessUnit. An AccessUnit and the Data of a JPEG are valid until the next call.
// It returns io.EOF when the peer closed the connection between two messages.
func (c *Conn) Receive() (any, error) {
	header, err := c.in.Peek(headerSize)
	if err != nil {
		if len(header) == 0 && errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("receiving a header: %w", err)
	}
	size, typ := binary.BigEndian.Uint32(header), Type(header[4])
	if size > bodyLimit(typ) {
		return nil, fmt.Errorf("type %d with a body of %d bytes: %w", typ, size, ErrMalformed)
	}
	if _, err := c.in.Discard(headerSize); err != nil {
		return nil, fmt.Errorf("receiving a header: %w", err)
	}
	if err := c.readBody(int(size)); err != nil {
		return nil, fmt.Errorf("receiving a body of type %d: %w", typ, err)
	}
	msg, err := c.parse(typ, c.buf)
	if err != nil {
		return nil, fmt.Errorf("type %d: %w: %w", typ, ErrMalformed, err)
	}
	return msg, nil
}

// readBody fills c.buf with size bytes. It grows the buffer as bytes arrive, so that a
// length alone cannot make it allocate memory.
func (c *Conn) readBody(size int) error {
	const step = 256 << 10
	if cap(c.buf) > maxKeptBuffer {
		c.buf = nil
	}
	c.buf = c.buf[:0]
	for len(c.buf) < size {
		from := len(c.buf)
		n := min(size-from, max(step, from))
		if cap(c.buf) < from+n {
			grown := make([]byte, from, from+n)
			copy(grown, c.buf)
			c.buf = grown
		}
		c.buf = c.buf[:from+n]
		if _, err := io.ReadFull(c.in, c.buf[from:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// bodyLimit returns the largest body of a message of type t in bytes; 0 for unknown types.
func bodyLimit(t Type) uint32 {
	switch t {
	case TypeAccessUnit, TypeJPEG:
		return MaxBody
	case TypeConfig, TypeReady, TypeResult, TypeSnapshot, TypeEnd, TypeInfer, TypeInferred, TypeLook, TypeLooked:
		return maxJSON
	}
	return 0
}

func (c *Conn) parse(t Type, body []byte) (any, error) {
	switch t {
	case TypeAccessUnit:
		return &c.accessUnit, c.accessUnit.parse(body)
	case TypeJPEG:
		return parseJPEG(body)
	case TypeConfig:
		return parseJSON[Config](body)
	case TypeReady:
		return parseJSON[Ready](body)
	case TypeResult:
		return parseJSON[Result](body)
	case TypeSnapshot:
		return parseJSON[Snapshot](body)
	case TypeEnd:
		return parseJSON[End](body)
	case TypeInfer:
		return parseJSON[Infer](body)
	case TypeInferred:
		return parseJSON[Inferred](body)
	case TypeLook:
		return parseJSON[Look](body)
	case TypeLooked:
		return parseJSON[Looked](body)
	}
	return nil, errors.New("unknown type")
}

func parseJSON[T any](body []byte) (any, error) {
	var v T
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, err
	}
	return v, nil
}

// Set fills u from src. It reuses the memory of u.Data, so nothing else may hold it.
func (u *AccessUnit) Set(src *streams.AccessUnit) {
	data := append(u.Data[:0], src.Data...)
	for _, nalu := range src.NALUs {
		data = append(data, 0, 0, 0, 1)
		data = append(data, nalu...)
	}
	*u = AccessUnit{
		Codec: src.Codec, Session: src.Session, PTS: src.PTS,
		Arrived: src.Arrived, Keyframe: src.Keyframe, Data: data,
	}
}

func (u *AccessUnit) parse(body []byte) error {
	if len(body) < accessUnitHeaderSize {
		return errors.New("an access unit shorter than its header")
	}
	switch body[0] {
	case codecH264:
		u.Codec = streams.H264
	case codecH265:
		u.Codec = streams.H265
	case codecJPEG:
		u.Codec = streams.JPEG
	default:
		return fmt.Errorf("codec %d is unknown", body[0])
	}
	if body[1]&^flagKeyframe != 0 || body[2] != 0 || body[3] != 0 {
		return errors.New("reserved bits are set")
	}
	u.Keyframe = body[1]&flagKeyframe != 0
	u.Session = binary.BigEndian.Uint32(body[4:])
	u.PTS = time.Duration(binary.BigEndian.Uint64(body[8:]))                  // two's complement is the format
	u.Arrived = time.Unix(0, int64(binary.BigEndian.Uint64(body[16:]))).UTC() // the same
	u.Data = body[accessUnitHeaderSize:]
	return nil
}

func parseJPEG(body []byte) (any, error) {
	if len(body) < jpegHeaderSize {
		return nil, errors.New("a JPEG shorter than its header")
	}
	n := int(binary.BigEndian.Uint16(body[16:]))
	if len(body) < jpegHeaderSize+n {
		return nil, errors.New("an error text longer than its message")
	}
	return JPEG{
		ID:    binary.BigEndian.Uint64(body),
		PTS:   time.Duration(binary.BigEndian.Uint64(body[8:])), // two's complement is the format
		Error: string(body[jpegHeaderSize : jpegHeaderSize+n]),
		Data:  body[jpegHeaderSize+n:],
	}, nil
}

// appendMessage appends msg with its header to b.
func appendMessage(b []byte, msg any) ([]byte, error) {
	from := len(b)
	b = append(b, 0, 0, 0, 0, 0)
	var t Type
	var err error
	switch m := msg.(type) {
	case *AccessUnit:
		t = TypeAccessUnit
		b, err = m.append(b)
	case AccessUnit:
		t = TypeAccessUnit
		b, err = m.append(b)
	case JPEG:
		t = TypeJPEG
		b = m.append(b)
	case *JPEG:
		t = TypeJPEG
		b = m.append(b)
	default:
		t, b, err = appendJSON(b, msg)
	}
	if err != nil {
		return nil, err
	}
	size := len(b) - from - headerSize
	if uint64(size) > uint64(bodyLimit(t)) {
		return nil, fmt.Errorf("sending %T: a body of %d bytes is above the limit of %d", msg, size, bodyLimit(t))
	}
	binary.BigEndian.PutUint32(b[from:], uint32(size)) // bounded above
	b[from+4] = byte(t)
	return b, nil
}

func appendJSON(b []byte, msg any) (Type, []byte, error) {
	var t Type
	switch msg.(type) {
	case Config, *Config:
		t = TypeConfig
	case Ready, *Ready:
		t = TypeReady
	case Result, *Result:
		t = TypeResult
	case Snapshot, *Snapshot:
		t = TypeSnapshot
	case End, *End:
		t = TypeEnd
	case Infer, *Infer:
		t = TypeInfer
	case Inferred, *Inferred:
		t = TypeInferred
	case Look, *Look:
		t = TypeLook
	case Looked, *Looked:
		t = TypeLooked
	default:
		return 0, nil, fmt.Errorf("sending %T: not a message", msg)
	}
	body, err := json.Marshal(msg)
	if err != nil {
		return 0, nil, fmt.Errorf("encoding %T: %w", msg, err)
	}
	return t, append(b, body...), nil
}

func (u *AccessUnit) append(b []byte) ([]byte, error) {
	var codec, flags byte
	switch u.Codec {
	case streams.H264:
		codec = codecH264
	case streams.H265:
		codec = codecH265
	case streams.JPEG:
		codec = codecJPEG
	default:
		return nil, fmt.Errorf("sending an access unit: codec %q is unknown", u.Codec)
	}
	if u.Keyframe {
		flags |= flagKeyframe
	}
	b = append(b, codec, flags, 0, 0)
	b = binary.BigEndian.AppendUint32(b, u.Session)
	b = binary.BigEndian.AppendUint64(b, uint64(u.PTS))                // two's complement is the format
	b = binary.BigEndian.AppendUint64(b, uint64(u.Arrived.UnixNano())) // the same
	return append(b, u.Data...), nil
}

func (j *JPEG) append(b []byte) []byte {
	text := j.Error
	if len(text) > 1000 {
		text = text[:1000]
	}
	b = binary.BigEndian.AppendUint64(b, j.ID)
	b = binary.BigEndian.AppendUint64(b, uint64(j.PTS))     // two's complement is the format
	b = binary.BigEndian.AppendUint16(b, uint16(len(text))) // bounded above
	b = append(b, text...)
	return append(b, j.Data...)
}
