// Package webrtc sends and receives streams over WebRTC: an edge publishes by WHIP (RFC 9725),
// the hub takes that in and hands it out to viewers by WHEP (draft-ietf-wish-whep), and a WHEP
// client plays for tests and load.
//
// Pictures are never transcoded: the packets that an edge made reach every viewer, only their
// headers are each viewer's own. Packets are immutable once in a Feed, and all readers share them.
//
// It is the only package that imports pion/webrtc. It must not import edge, hub, detection or
// another adapter of streams.
package webrtc

import (
	"log/slog"
)

// EngineOptions configure an Engine.
type EngineOptions struct {
	// Listen is the address, host:port, of the one UDP port of all sessions, and of ICE over
	// TCP on the same number. Empty: an ephemeral port for each session, as clients want.
	Listen string

	// PublicAddresses are the IP addresses told to peers when Listen's own cannot be reached.
	PublicAddresses []string

	Logger *slog.Logger
}

// Engine makes sessions. It is safe for concurrent use.
type Engine struct {
	options EngineOptions
}

// NewEngine binds the port. The caller must Close the Engine after the last session has ended.
func NewEngine(o EngineOptions) (*Engine, error) {
	return &Engine{options: o}, nil
}

// Addr returns the bound host:port, or "" for an Engine without Listen.
func (e *Engine) Addr() string { return e.options.Listen }

// Close releases the port.
func (e *Engine) Close() error { return nil }
