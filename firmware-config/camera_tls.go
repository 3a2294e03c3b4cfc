package firmwareconfig

import "gridpost/devices/address"

// fingerprint reads the SHA-256 of a camera's certificate.
func (v value) fingerprint(dst *string) {
	s, ok := v.Text()
	if !ok {
		return
	}
	parsed, err := address.ParseFingerprint(s)
	if err != nil {
		v.fail("expected the SHA-256 of the camera's certificate (64 hexadecimal digits, with or without colons), found %s", v.found())
		return
	}
	*dst = parsed
}

// checkFingerprint refuses a fingerprint that protects nothing.
func (p *parser) checkFingerprint(v value, c Camera) {
	secure := func(s address.Stream) bool { return !s.IsZero() && s.URL().Scheme == "rtsps" }
	if c.Fingerprint != "" && !c.URL.IsZero() && !secure(c.URL) && !secure(c.Detect) {
		p.fail(v.node.Line, v.join("fingerprint"), "expected an rtsps:// address beside a fingerprint, found rtsp://")
	}
}
