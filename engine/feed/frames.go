package feed

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Frame Streams: https://farsightsec.github.io/fstrm/ (fstrm/control.h). A frame is
// its length in 32 bits, big endian, and its bytes. The length 0 announces a
// control frame: again a length, then its kind and fields.
const (
	// maxFrame bounds a data frame: a query and a response of 64 KiB each, and what
	// dnstap says beside them.
	maxFrame = 256 << 10
	// maxControl bounds a control frame (FSTRM_CONTROL_FRAME_LENGTH_MAX).
	maxControl = 512
	// contentType is what dnstap announces.
	contentType = "protobuf:dnstap.Dnstap"
)

// The kinds of control frames, and their one kind of field.
const (
	controlAccept = 1
	controlStart  = 2
	controlStop   = 3
	controlReady  = 4
	controlFinish = 5

	fieldContentType = 1
)

// frameStream reads the frames of one stream, and answers where the other side
// wants answers.
type frameStream struct {
	in    *bufio.Reader
	out   io.Writer // nil: a file, or a pipe
	ready bool      // the other side waits for a last word
}

var errNotFrames = errors.New("not a Frame Streams stream of dnstap")

// open reads what precedes the first data frame: START alone, or READY, which is
// answered by ACCEPT, and START.
func (s *frameStream) open() error {
	kind, types, err := s.control()
	if err != nil {
		return err
	}
	if kind == controlReady && s.out != nil {
		if !announces(types) {
			return fmt.Errorf("%w: it offers %q", errNotFrames, types)
		}
		s.ready = true
		if _, err := s.out.Write(appendControl(nil, controlAccept, contentType)); err != nil {
			return err
		}
		if kind, types, err = s.control(); err != nil {
			return err
		}
	}
	if kind != controlStart || !announces(types) {
		return fmt.Errorf("%w: it begins with control frame %d and %q", errNotFrames, kind, types)
	}
	return nil
}

// announces reports whether a control frame is of dnstap; one may leave its type
// out.
func announces(types []string) bool {
	for _, t := range types {
		if t == contentType {
			return true
		}
	}
	return len(types) == 0
}

// control reads a control frame from its beginning.
func (s *frameStream) control() (kind uint32, types []string, err error) {
	zero, err := s.uint32()
	if err == nil && zero != 0 {
		err = errNotFrames
	}
	if err != nil {
		return 0, nil, err
	}
	return s.controlBody()
}

// controlBody reads what follows the announcement of a control frame.
func (s *frameStream) controlBody() (kind uint32, types []string, err error) {
	length, err := s.uint32()
	if err != nil {
		return 0, nil, err
	}
	if length < 4 || length > maxControl {
		return 0, nil, fmt.Errorf("%w: a control frame of %d bytes", errNotFrames, length)
	}
	var body [maxControl]byte
	if _, err := io.ReadFull(s.in, body[:length]); err != nil {
		return 0, nil, midway(err)
	}
	rest := body[4:length]
	for len(rest) >= 8 {
		field, size := binary.BigEndian.Uint32(rest), binary.BigEndian.Uint32(rest[4:])
		if rest = rest[8:]; size > uint32(len(rest)) {
			return 0, nil, fmt.Errorf("%w: a field that exceeds its frame", errNotFrames)
		}
		if field == fieldContentType {
			types = append(types, string(rest[:size]))
		}
		rest = rest[size:]
	}
	return binary.BigEndian.Uint32(body[:]), types, nil
}

// errTooLong is the error of a frame over maxFrame: what follows it cannot be
// found any more.
var errTooLong = fmt.Errorf("a frame of more than %d bytes", maxFrame)

// next appends the next data frame to buf. io.EOF is the end of the stream, said
// or at a frame's border.
func (s *frameStream) next(buf []byte) ([]byte, error) {
	for {
		length, err := s.uint32()
		switch {
		case err != nil:
			return buf, err
		case length > maxFrame:
			return buf, errTooLong
		case length > 0:
			n := len(buf)
			buf = append(buf, make([]byte, length)...)
			_, err = io.ReadFull(s.in, buf[n:])
			if err != nil {
				return buf[:n], midway(err)
			}
			return buf, nil
		}
		kind, _, err := s.controlBody()
		if err != nil {
			return buf, err
		}
		if kind == controlStop {
			return buf, s.finish()
		}
	}
}

// finish answers STOP where an answer is waited for.
func (s *frameStream) finish() error {
	if s.ready {
		if _, err := s.out.Write(appendControl(nil, controlFinish, "")); err != nil {
			return err
		}
	}
	return io.EOF
}

func (s *frameStream) uint32() (uint32, error) {
	var b [4]byte
	n, err := io.ReadFull(s.in, b[:])
	if n > 0 {
		err = midway(err)
	}
	return binary.BigEndian.Uint32(b[:]), err
}

// midway makes the end of the data within something an error.
func midway(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appendControl appends a control frame, with a content type unless it is empty.
func appendControl(b []byte, kind uint32, content string) []byte {
	length := 4
	if content != "" {
		length += 8 + len(content)
	}
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(length))
	b = binary.BigEndian.AppendUint32(b, kind)
	if content != "" {
		b = binary.BigEndian.AppendUint32(b, fieldContentType)
		b = binary.BigEndian.AppendUint32(b, uint32(len(content)))
		b = append(b, content...)
	}
	return b
}
