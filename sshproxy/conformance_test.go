package sshproxy_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/gitaccess/gitaccess/sshproxy"
	"github.com/google/go-cmp/cmp"
)

// Each case is a conversation: []byte is sent by the server, a clientFrame is what
// the client must send next, eof closes the server's end.
func TestConformance(t *testing.T) {
	type conversation []any
	const eof = "eof"
	protocolError := clientFrame{opClose, []byte{0x03, 0xea}} // 1002
	closed := func(code uint16) clientFrame {
		return clientFrame{opClose, binary.BigEndian.AppendUint16(nil, code)}
	}
	over := closeFrame(1000, "")
	kb := bytes.Repeat([]byte("0123456789abcdef"), 64)
	var mib []byte
	for range 1024 {
		mib = append(mib, kb...)
	}

	tests := []struct {
		name string
		talk conversation
		data string
		err  error // io.EOF is shown as nil; types are compared by text
	}{
		{"one message", conversation{fin(opBinary, []byte("hello")), over, closed(1000)}, "hello", nil},
		{"messages are joined", conversation{fin(opBinary, []byte("hel")), fin(opBinary, []byte("lo")), over, closed(1000)}, "hello", nil},
		{"text is bytes, in UTF-8 or not", conversation{fin(opText, []byte("\xff\xfe\x00")), over, closed(1000)}, "\xff\xfe\x00", nil},
		{"empty messages", conversation{fin(opBinary, nil), fin(opText, nil), fin(opBinary, []byte("x")), over, closed(1000)}, "x", nil},
		{"lengths of 7, 16 and 64 bits", conversation{fin(opBinary, kb[:125]), fin(opBinary, kb[:126]), fin(opBinary, mib[:65535]), fin(opBinary, mib[:65536]), fin(opBinary, mib), over, closed(1000)},
			string(kb[:125]) + string(kb[:126]) + string(mib[:65535]) + string(mib[:65536]) + string(mib), nil},

		{"fragments", conversation{more(opBinary, []byte("a")), more(opCont, []byte("b")), fin(opCont, []byte("c")), over, closed(1000)}, "abc", nil},
		{"fragments of text", conversation{more(opText, []byte("\xc3")), fin(opCont, []byte("\xa4")), over, closed(1000)}, "ä", nil},
		{"empty fragments", conversation{more(opBinary, nil), more(opCont, nil), fin(opCont, []byte("c")), over, closed(1000)}, "c", nil},
		{"a thousand fragments", conversation{more(opBinary, nil), bytes.Repeat(more(opCont, []byte("x")), 1000), fin(opCont, nil), over, closed(1000)}, strings.Repeat("x", 1000), nil},
		{"continuation of nothing", conversation{fin(opCont, []byte("x")), protocolError}, "", errors.New("sshproxy: peer broke RFC 6455: continuation of no message")},
		{"continuation after the last fragment", conversation{more(opBinary, []byte("a")), fin(opCont, []byte("b")), fin(opCont, []byte("c")), protocolError}, "ab", errors.New("sshproxy: peer broke RFC 6455: continuation of no message")},
		{"message within a message", conversation{more(opBinary, []byte("a")), fin(opBinary, []byte("b")), protocolError}, "a", errors.New("sshproxy: peer broke RFC 6455: new message within another")},
		{"text within a message", conversation{more(opBinary, []byte("a")), more(opText, []byte("b")), protocolError}, "a", errors.New("sshproxy: peer broke RFC 6455: new message within another")},

		{"ping", conversation{fin(opPing, []byte("how are you")), clientFrame{opPong, []byte("how are you")}, over, closed(1000)}, "", nil},
		{"ping without payload", conversation{fin(opPing, nil), clientFrame{opPong, []byte{}}, over, closed(1000)}, "", nil},
		{"longest ping", conversation{fin(opPing, kb[:125]), clientFrame{opPong, kb[:125]}, over, closed(1000)}, "", nil},
		{"ping between fragments", conversation{more(opBinary, []byte("a")), fin(opPing, []byte("1")), clientFrame{opPong, []byte("1")}, fin(opCont, []byte("b")), over, closed(1000)}, "ab", nil},
		{"ping in its own bytes", conversation{[]byte{0x89}, []byte{0x02}, []byte{'h'}, []byte{'i'}, clientFrame{opPong, []byte("hi")}, over, closed(1000)}, "", nil},
		{"pong that nobody asked for", conversation{fin(opPong, []byte("x")), fin(opBinary, []byte("y")), over, closed(1000)}, "y", nil},
		{"ping of 126 bytes", conversation{fin(opPing, kb[:126]), protocolError}, "", errors.New("sshproxy: peer broke RFC 6455: control frame longer than 125 bytes")},
		{"fragmented ping", conversation{more(opPing, []byte("x")), protocolError}, "", errors.New("sshproxy: peer broke RFC 6455: fragmented control frame")},
		{"fragmented close", conversation{more(opClose, nil), protocolError}, "", errors.New("sshproxy: peer broke RFC 6455: fragmented control frame")},

		{"masked by the server", conversation{[]byte("\x82\x81\x01\x02\x03\x04a"), protocolError}, "", errors.New("sshproxy: peer broke RFC 6455: masked frame from a server")},
		{"reserved bit 1", conversation{rawFrame(0xc2, []byte("x")), protocolError}, "", errors.New("sshproxy: peer broke RFC 6455: reserved bits 0x40 set, though no extension was agreed on")},
		{"reserved bit 2", conversation{rawFrame(0xa2, nil), protocolError}, "", errors.New("sshproxy: peer broke RFC 6455: reserved bits 0x20 set, though no extension was agreed on")},
		{"reserved bit 3 of a control frame", conversation{rawFrame(0x99, nil), protocolError}, "", errors.New("sshproxy: peer broke RFC 6455: reserved bits 0x10 set, though no extension was agreed on")},
		{"16-bit length that fits 7", conversation{[]byte("\x82\x7e\x00\x7d"), protocolError}, "", errors.New("sshproxy: peer broke RFC 6455: length 125 not in its shortest form")},
		{"64-bit length that fits 16", conversation{[]byte("\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff"), protocolError}, "", errors.New("sshproxy: peer broke RFC 6455: length 65535 not in its shortest form")},
		{"length of 64 bits", conversation{[]byte("\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00"), protocolError}, "", errors.New("sshproxy: peer broke RFC 6455: length with its highest bit set")},
		{"announced length is not allocated", conversation{[]byte("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xffab"), eof}, "ab", io.ErrUnexpectedEOF},

		{"close without a code", conversation{fin(opClose, nil), closed(1000)}, "", nil},
		{"close with a reason", conversation{closeFrame(1000, "bye"), closed(1000)}, "", nil},
		{"nothing is read after a close", conversation{over, closed(1000)}, "", nil},
		{"close with half a code", conversation{fin(opClose, []byte{3}), protocolError}, "", errors.New("sshproxy: peer broke RFC 6455: close frame with half a code")},
		{"going away", conversation{fin(opBinary, []byte("a")), closeFrame(1001, ""), closed(1001)}, "a", errors.New("sshproxy: peer closed with code 1001 (going away)")},
		{"internal error", conversation{closeFrame(1011, "origin\nfailed"), closed(1011)}, "", errors.New(`sshproxy: peer closed with code 1011 (internal error): "origin\nfailed"`)},
		{"reason that is not UTF-8", conversation{closeFrame(1013, "\xff"), closed(1013)}, "", errors.New(`sshproxy: peer closed with code 1013 (try again later): "\xff"`)},
		{"code of an application", conversation{closeFrame(4999, ""), closed(4999)}, "", errors.New("sshproxy: peer closed with code 4999")},
		{"close in the middle of a message", conversation{more(opBinary, []byte("a")), over, closed(1000)}, "a", io.ErrUnexpectedEOF},

		{"end without a close frame", conversation{fin(opBinary, []byte("a")), eof}, "a", sshproxy.ErrNoCloseFrame},
		{"end at once", conversation{eof}, "", sshproxy.ErrNoCloseFrame},
		{"end in a header", conversation{[]byte("\x82"), eof}, "", io.ErrUnexpectedEOF},
		{"end in a long header", conversation{[]byte("\x82\x7f\x00\x00"), eof}, "", io.ErrUnexpectedEOF},
		{"end in a payload", conversation{[]byte("\x82\x05hel"), eof}, "hel", io.ErrUnexpectedEOF},
		{"end in a control frame", conversation{[]byte("\x89\x05hel"), eof}, "", io.ErrUnexpectedEOF},
		{"end between fragments", conversation{more(opBinary, []byte("a")), eof}, "a", io.ErrUnexpectedEOF},
	}
	for _, op := range []byte{3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf} {
		tests = append(tests, struct {
			name string
			talk conversation
			data string
			err  error
		}{fmt.Sprintf("opcode %#x", op), conversation{fin(op, nil), protocolError}, "", fmt.Errorf("sshproxy: peer broke RFC 6455: unknown opcode %#x", op)})
	}
	for _, code := range []uint16{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		tests = append(tests, struct {
			name string
			talk conversation
			data string
			err  error
		}{fmt.Sprintf("close code %d", code), conversation{closeFrame(code, ""), protocolError}, "", fmt.Errorf("sshproxy: peer broke RFC 6455: close code %d, which may not be sent", code)})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, s := pipe(t, nil)
			talked := make(chan error, 1)
			go func() { talked <- talk(s, tt.talk) }()
			data, err := io.ReadAll(c) // nil for io.EOF
			if string(data) != tt.data {
				t.Errorf("read %.100q, want %.100q", data, tt.data)
			}
			if fmt.Sprint(err) != fmt.Sprint(tt.err) {
				t.Errorf("error %v, want %v", err, tt.err)
			}
			if _, again := c.Read(make([]byte, 1)); err != nil && !errors.Is(again, err) {
				t.Errorf("error %v, and then %v", err, again)
			}
			if err := <-talked; err != nil {
				t.Error(err)
			}
			s.Close()
			c.Close()
		})
	}
}

// talk has the server's part of a conversation. What the client does not want to
// read any more does not stop it.
func talk(s net.Conn, conversation []any) error {
	send := make(chan []byte, len(conversation))
	go func() {
		for b := range send {
			if b == nil {
				s.Close()
			}
			s.Write(b)
		}
	}()
	defer close(send)
	for i, turn := range conversation {
		switch turn := turn.(type) {
		case []byte:
			send <- turn
		case clientFrame:
			f, err := readClientFrame(s)
			if diff := cmp.Diff(turn, f); diff != "" || err != nil {
				return fmt.Errorf("turn %d: client sent (+) %s %v", i, diff, err)
			}
		case string:
			send <- nil
		}
	}
	return nil
}

func TestErrorsAreTyped(t *testing.T) {
	read := func(conversation ...any) error {
		c, s := pipe(t, nil)
		defer c.Close()
		defer s.Close()
		go talk(s, conversation)
		_, err := io.ReadAll(c)
		return err
	}
	var broken *sshproxy.ProtocolError
	if err := read(fin(3, nil)); !errors.As(err, &broken) {
		t.Errorf("%#v", err)
	}
	var closed *sshproxy.CloseError
	if err := read(closeFrame(1012, "soon")); !errors.As(err, &closed) || closed.Code != 1012 || closed.Reason != "soon" {
		t.Errorf("%#v", err)
	}
	if err := read("eof"); !errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(err, sshproxy.ErrNoCloseFrame) {
		t.Errorf("%#v", err)
	}
}
