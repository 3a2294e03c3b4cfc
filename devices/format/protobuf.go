package format

import (
	"encoding/binary"
	"errors"
)

var errProtobuf = errors.New("it is no Protocol Buffers message")

// field is one field of a Protocol Buffers message (protobuf.dev/programming-guides/encoding).
type field struct {
	number int
	value  uint64 // of a VARINT, I32 or I64
	data   []byte // of a LEN; a part of the message
}

// maxFields bounds the fields of one message.
const maxFields = 1 << 16

// fields calls each with the fields of a message in their order, until it returns an error.
func fields(message []byte, each func(field) error) error {
	for n := 0; len(message) > 0; n++ {
		key, size := binary.Uvarint(message)
		if size <= 0 || key>>3 == 0 || key>>3 > 1<<29-1 || n >= maxFields {
			return errProtobuf
		}
		message = message[size:]
		f := field{number: int(key >> 3)} //nolint:gosec // checked above
		switch key & 7 {
		case 0: // VARINT
			if f.value, size = binary.Uvarint(message); size <= 0 {
				return errProtobuf
			}
			message = message[size:]
		case 1: // I64
			if len(message) < 8 {
				return errProtobuf
			}
			f.value, message = binary.LittleEndian.Uint64(message), message[8:]
		case 5: // I32
			if len(message) < 4 {
				return errProtobuf
			}
			f.value, message = uint64(binary.LittleEndian.Uint32(message)), message[4:]
		case 2: // LEN
			length, size := binary.Uvarint(message)
			if size <= 0 || length > uint64(len(message)-size) {
				return errProtobuf
			}
			f.data, message = message[size:size+int(length)], message[size+int(length):] //nolint:gosec // checked above
		default:
			return errProtobuf
		}
		if err := each(f); err != nil {
			return err
		}
	}
	return nil
}
