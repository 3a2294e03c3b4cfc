package rtsp

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gridpost/streams/rtsp/rtsptest"
)

// set returns an Answer that changes one header of the responses to a method.
func set(method, name, value string) func(*rtsptest.Conn, *rtsptest.Request, *rtsptest.Answer) {
	return func(c *rtsptest.Conn, r *rtsptest.Request, a *rtsptest.Answer) {
		if r.Method == method || method == "" {
			a.Set(name, c.Expand(value))
		}
	}
}

// status returns an Answer that changes the first line of the responses to a method.
func status(method, line string) func(*rtsptest.Conn, *rtsptest.Request, *rtsptest.Answer) {
	return func(_ *rtsptest.Conn, r *rtsptest.Request, a *rtsptest.Answer) {
		if r.Method == method || method == "" {
			a.Status = line
		}
	}
}

func rename(from, to string) func(*rtsptest.Conn, *rtsptest.Request, *rtsptest.Answer) {
	return func(_ *rtsptest.Conn, _ *rtsptest.Request, a *rtsptest.Answer) {
		for i, line := range a.Header {
			if rest, ok := strings.CutPrefix(line, from); ok {
				a.Header[i] = to + rest
			}
		}
	}
}

// responseCases are responses that cameras have sent; each must play.
func responseCases() map[string]*rtsptest.Camera {
	answer := func(f func(*rtsptest.Conn, *rtsptest.Request, *rtsptest.Answer)) *rtsptest.Camera {
		return &rtsptest.Camera{Answer: f}
	}
	cases := map[string]*rtsptest.Camera{
		"no reason phrase":             answer(status("", "RTSP/1.0 200")),
		"an empty reason phrase":       answer(status("", "RTSP/1.0 200 ")),
		"two spaces":                   answer(status("", "RTSP/1.0  200  OK")),
		"version 1.1":                  answer(status("", "RTSP/1.1 200 OK")),
		"version 2.0":                  answer(status("", "RTSP/2.0 200 OK")),
		"version in lower case":        answer(status("", "rtsp/1.0 200 ok")),
		"no space after the code":      answer(status("", "RTSP/1.0 200OK")),
		"a long reason phrase":         answer(status("", "RTSP/1.0 200 "+strings.Repeat("o", 1000))),
		"201 Created":                  answer(status("SETUP", "RTSP/1.0 201 Created")),
		"bare line feeds":              answer(func(_ *rtsptest.Conn, _ *rtsptest.Request, a *rtsptest.Answer) { a.EOL = "\n" }),
		"bare carriage returns":        answer(func(_ *rtsptest.Conn, _ *rtsptest.Request, a *rtsptest.Answer) { a.EOL = "\r" }),
		"a space before the colon":     answer(rename("CSeq:", "CSeq :")),
		"no space after the colon":     answer(rename("CSeq: ", "CSeq:")),
		"a tab after the colon":        answer(rename("CSeq: ", "CSeq:\t")),
		"header names in upper case":   answer(rename("CSeq:", "CSEQ:")),
		"Cseq":                         answer(rename("CSeq:", "Cseq:")), // go2rtc#208
		"no CSeq":                      answer(set("", "CSeq", "")),
		"the same CSeq always":         answer(set("", "CSeq", "0")),
		"a CSeq of no kind":            answer(set("", "CSeq", "abc")),
		"a line without a colon":       answer(func(_ *rtsptest.Conn, _ *rtsptest.Request, a *rtsptest.Answer) { a.Header = append(a.Header, "hello") }),
		"a line that is continued":     answer(set("SETUP", "X", "a\r\n b")),
		"a long header line":           answer(set("", "X-Long", strings.Repeat("x", 10_000))),
		"many header lines":            answer(set("", "X", "a"+strings.Repeat("\r\nX: a", 300))),
		"an unreadable header":         answer(set("", "X-\xff\x01", "\xfe\x02")),
		"501 to OPTIONS":               answer(status("OPTIONS", "RTSP/1.0 501 Not Implemented")),
		"404 to OPTIONS":               answer(status("OPTIONS", "RTSP/1.0 404 Not Found")),
		"400 to OPTIONS":               answer(status("OPTIONS", "RTSP/1.0 400 Bad Request")),
		"no Public":                    answer(set("OPTIONS", "Public", "")),
		"two Public headers":           answer(set("OPTIONS", "Public", "OPTIONS\r\nPublic: PLAY")),
		"no Content-Type":              answer(set("DESCRIBE", "Content-Type", "")),
		"Content-Type in upper case":   answer(set("DESCRIBE", "Content-Type", "Application/SDP")),
		"Content-Type with parameters": answer(set("DESCRIBE", "Content-Type", "application/sdp ; charset=utf-8")),
		"Content-Type text/plain":      answer(set("DESCRIBE", "Content-Type", "text/plain")),
		"two Content-Types":            answer(set("DESCRIBE", "Content-Type", "application/sdp\r\nContent-Type: application/sdp")),

		"Content-Base":                     answer(set("DESCRIBE", "Content-Base", "rtsp://HOST/PATH/")),
		"Content-Base without scheme":      answer(set("DESCRIBE", "Content-Base", "HOST/PATH/")),               // go2rtc#1852
		"Content-Base with double scheme":  answer(set("DESCRIBE", "Content-Base", "rtsp://rtsp://HOST/PATH/")), // go2rtc#208
		"Content-Base as a path":           answer(set("DESCRIBE", "Content-Base", "/PATH/")),
		"Content-Base with a password":     answer(set("DESCRIBE", "Content-Base", "rtsp://admin:x@HOST/PATH/")),
		"Content-Base in quotes":           answer(set("DESCRIBE", "Content-Base", `"rtsp://HOST/PATH/"`)),
		"Content-Base of no kind":          answer(set("DESCRIBE", "Content-Base", "%zz://")),
		"Content-Base in upper case":       answer(set("DESCRIBE", "Content-Base", "RTSP://HOST/PATH/")),
		"two Content-Bases":                answer(set("DESCRIBE", "Content-Base", "rtsp://HOST/PATH/\r\nContent-Base: rtsp://HOST/PATH/")),
		"Content-Location":                 answer(set("DESCRIBE", "Content-Location", "rtsp://HOST/PATH/")),
		"Content-Base of another address":  answer(set("DESCRIBE", "Content-Base", "rtsp://192.0.2.77:554/PATH/")),
		"an unreadable Content-Length":     answer(length("OPTIONS", "abc")),
		"a negative Content-Length":        answer(length("OPTIONS", "-5")),
		"a Content-Length without a body":  answer(length("OPTIONS", "10")),
		"the same in SETUP":                answer(length("SETUP", "100")),
		"the same in PLAY":                 answer(length("PLAY", "1000000")),
		"a Content-Length of 0":            answer(length("", "0")),
		"a description without its length": answer(length("DESCRIBE", "-")),
		"a description with too little":    answer(length("DESCRIBE", "20")),
		"a description with too much":      answer(length("DESCRIBE", "5000")),
		"line feeds after a body": answer(func(_ *rtsptest.Conn, r *rtsptest.Request, a *rtsptest.Answer) {
			if r.Method == "DESCRIBE" {
				a.Length = fmt.Sprint(len(a.Body))
				a.Body += "\r\n\r\n"
			}
		}),
		"a body to OPTIONS": answer(func(_ *rtsptest.Conn, r *rtsptest.Request, a *rtsptest.Answer) {
			if r.Method == rtsptest.MethodOptions {
				a.Body = "RTSP is spoken here\r\n"
			}
		}),

		"SETUP without Transport":       answer(set("SETUP", "Transport", "")), // gortsplib#456
		"SETUP without interleaved":     answer(set("SETUP", "Transport", "RTP/AVP/TCP;unicast")),
		"RTP/AVP for TCP":               answer(set("SETUP", "Transport", "RTP/AVP;unicast;interleaved=0-1")),
		"interleaved without a pair":    answer(set("SETUP", "Transport", "RTP/AVP/TCP;unicast;interleaved=0")),
		"interleaved of no kind":        answer(set("SETUP", "Transport", "RTP/AVP/TCP;unicast;interleaved=x-y")),
		"interleaved with one number":   answer(set("SETUP", "Transport", "RTP/AVP/TCP;unicast;interleaved=0-0")),
		"interleaved on other channels": answer(set("SETUP", "Transport", "RTP/AVP/TCP;unicast;interleaved=8-9;ssrc=2A27A3FB")), // mediamtx#19
		"Transport in lower case":       answer(set("SETUP", "Transport", "rtp/avp/tcp; UNICAST; Interleaved=0-1; MODE=\"play\"")),
		"Transport with commas":         answer(set("SETUP", "Transport", "RTP/AVP/TCP;unicast;interleaved=0-1,ssrc=FFFFCCCC")), // mediamtx#762
		"Transport with empty fields":   answer(set("SETUP", "Transport", "RTP/AVP/TCP;;unicast;source=;destination=;interleaved=0-1;mode=;ssrc=zz")),
		"TCP and multicast":             answer(set("SETUP", "Transport", "RTP/AVP/TCP;multicast;interleaved=0-1")),
		"Transport with host names":     answer(set("SETUP", "Transport", "RTP/AVP/TCP;unicast;source=camera;destination=camera;interleaved=0-1")),
		"an open quote":                 answer(set("SETUP", "Transport", "RTP/AVP/TCP;unicast;interleaved=0-1;mode=\"PLAY")),
		"two Transports":                answer(set("SETUP", "Transport", "RTP/AVP/TCP;unicast;interleaved=0-1\r\nTransport: RTP/AVP/TCP")),
		"a timeout of no kind":          answer(set("", "Session", "1;timeout=abc")),
		"an empty timeout":              answer(set("", "Session", "1;timeout=")),
		"a negative timeout":            answer(set("", "Session", "1;timeout=-1")),
		"a huge timeout":                answer(set("", "Session", "1;timeout=99999999999999")),
		"Timeout in upper case":         answer(set("", "Session", "1; Timeout=60s")),
		"a Session with an open quote":  answer(set("", "Session", "1;timeout=\"60")),
		"two Sessions":                  answer(set("", "Session", "1\r\nSession: 1")),
		"a Session with blanks":         answer(set("", "Session", "       1247302948 ; timeout = 60 ")), // RTSPtoWeb#132
		"no Session":                    answer(set("", "Session", "")),
		"a Session only in SETUP":       answer(set("PLAY", "Session", "")),
		"an unreadable RTP-Info":        answer(set("PLAY", "RTP-Info", "url=;seq=abc;rtptime=,,")),
		"a PLAY without Range": {Answer: func(_ *rtsptest.Conn, r *rtsptest.Request, a *rtsptest.Answer) {
			if r.Method == "PLAY" && r.Header.Get("Range") != "" {
				a.Status = "RTSP/1.0 457 Invalid Range"
			}
		}},
		"a Range with a fraction": {Answer: func(_ *rtsptest.Conn, r *rtsptest.Request, a *rtsptest.Answer) {
			if r.Method == "PLAY" && r.Header.Get("Range") != "npt=0.000-" { // gortsplib#574
				a.Status = "RTSP/1.0 400 Bad Request"
			}
		}},
		"no response to PLAY": {Before: func(c *rtsptest.Conn, r *rtsptest.Request) bool {
			if r.Method != "PLAY" {
				return false
			}
			c.SendMedia()
			return true
		}},
		"100 Continue": {Before: func(c *rtsptest.Conn, r *rtsptest.Request) bool {
			c.Printf("RTSP/1.0 100 Continue\r\nCSeq: %s\r\n\r\n", r.Header.Get("CSeq"))
			return false
		}},
		"garbage before each response": {Before: func(c *rtsptest.Conn, _ *rtsptest.Request) bool {
			c.Printf("\r\n\x00\x00garbage")
			return false
		}},
		"dollar signs before each response": {Before: func(c *rtsptest.Conn, _ *rtsptest.Request) bool {
			c.Printf("x$$$$")
			return false
		}},
		"frames of an older session": {Before: func(c *rtsptest.Conn, r *rtsptest.Request) bool {
			if r.Method != rtsptest.MethodOptions {
				c.Write(rtsptest.Interleaved(0, make([]byte, 3000)))
			}
			return false
		}},
		"a frame between header and body": {Before: func(c *rtsptest.Conn, r *rtsptest.Request) bool {
			if r.Method != "DESCRIBE" {
				return false
			}
			body := rtsptest.Describe(rtsptest.H264())
			return c.Printf("RTSP/1.0 200 OK\r\nCSeq: %s\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s%s",
				r.Header.Get("CSeq"), len(body), rtsptest.Interleaved(0, make([]byte, 100)), body)
		}},
		"frames before the response to PLAY": {Before: func(c *rtsptest.Conn, r *rtsptest.Request) bool {
			if r.Method == "PLAY" {
				return !c.SendFrames(0, 5)
			}
			return false
		}},
		"each response twice": {Before: func(c *rtsptest.Conn, r *rtsptest.Request) bool {
			if r.Method == "SETUP" {
				c.Printf("RTSP/1.0 200 OK\r\nCSeq: %s\r\nSession: 42\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n", r.Header.Get("CSeq"))
			}
			return false
		}},
		"requests of the camera": {Play: func(c *rtsptest.Conn) {
			for n := 0; c.SendFrame(n) && c.Pause(rtsptest.Interval); n++ {
				for i, method := range []string{"OPTIONS", "GET_PARAMETER", "SET_PARAMETER", "ANNOUNCE", "PLAY_NOTIFY"} {
					c.Printf("%s rtsp://127.0.0.1/ RTSP/1.0\r\nCSeq: %d\r\nContent-Length: 5\r\n\r\nhello", method, i)
				}
			}
		}},
		"garbage between the frames": {Play: func(c *rtsptest.Conn) {
			for n := 0; c.SendFrame(n) && c.Pause(rtsptest.Interval); n++ {
				c.Printf("\x00garbage\xff OPTIONAL $99 RT RTS")
			}
		}},
		"responses between the frames": {Play: func(c *rtsptest.Conn) {
			for n := 0; c.SendFrame(n) && c.Pause(rtsptest.Interval); n++ {
				c.Printf("RTSP/1.0 200 OK\r\nCSeq: 99\r\n\r\n")
			}
		}},
		"byte by byte": {Play: func(c *rtsptest.Conn) {
			for n := 0; ; n++ {
				for _, payload := range rtsptest.H264().Frame(n) {
					frame := rtsptest.Interleaved(0, c.Packet(0, payload, uint32(n)*3600, true))
					for len(frame) > 0 {
						k := min(len(frame), 100)
						if !c.Write(frame[:k]) {
							return
						}
						frame = frame[k:]
					}
				}
				if !c.Pause(time.Millisecond) {
					return
				}
			}
		}},
	}
	return cases
}

func length(method, value string) func(*rtsptest.Conn, *rtsptest.Request, *rtsptest.Answer) {
	return func(_ *rtsptest.Conn, r *rtsptest.Request, a *rtsptest.Answer) {
		if r.Method == method || method == "" && r.Method != "DESCRIBE" {
			a.Length = value
		}
	}
}

// pathOf makes a path of a test's name.
func pathOf(name string) string {
	return "/" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, name)
}

func TestResponsesOfCameras(t *testing.T) { playAll(t, responseCases(), Options{Transport: TCP}) }
