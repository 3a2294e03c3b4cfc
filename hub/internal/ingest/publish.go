package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/access"
	"gridpost/hub/internal/credential"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/scope"
)

// recipient is an edge with a stream of commands. Commands to publish are completed when they are sent, not when they are
// made: so a credential is bound to the certificate of the stream, its time begins when it leaves, and it is in no
// database.
type recipient struct {
	edge        string
	certificate string // serial number
	paths       bool   // it understands paths in Command.URL
}

// complete adds to a command to publish where the stream goes, and the credential for it.
func (s *Server) complete(c api.Command, to recipient) api.Command {
	if s.o.Credentials == nil || c.Kind != api.CommandPublish && c.Kind != api.CommandPublishStream {
		return c
	}
	relay := ""
	if s.o.RelayOf != nil {
		relay = s.o.RelayOf(to.edge)
	}
	if relay != "" || to.paths {
		c.URL = relay + "/whip/" + url.PathEscape(to.edge) + "/" + url.PathEscape(c.Device)
		if c.Stream != "" {
			c.URL += "?stream=" + url.QueryEscape(c.Stream)
		}
	}
	c.Credential, _ = s.o.Credentials.Issue(credential.Claims{
		Use: credential.Publish, Edge: to.edge, Device: c.Device, Stream: c.Stream, Principal: access.EdgePrincipal(to.edge), Certificate: to.certificate,
	})
	return c
}

// completeStored is complete for a command as the database has it.
func (s *Server) completeStored(body []byte, to recipient) ([]byte, error) {
	var c api.Command
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, fmt.Errorf("decoding a command: %w", err)
	}
	text, err := json.Marshal(s.complete(c, to))
	if err != nil {
		return nil, fmt.Errorf("encoding a command: %w", err)
	}
	return text, nil
}

// publisher is who publishes: an edge, by its certificate, or by a credential that the hub made for that certificate.
type publisher struct {
	edge, certificate string
	claims            credential.Claims // zero: by the certificate
}

// may reports whether the publisher may publish a stream of a camera, or all of them if stream is nil.
func (p publisher) may(edge, device string, stream *string) bool {
	if p.claims == (credential.Claims{}) {
		return p.edge == edge
	}
	return p.claims.Of(edge, device) && (stream == nil || p.claims.Stream == *stream)
}

// admitPublisher lets edges publish by their certificate, and connections without one by a credential.
func (s *Server) admitPublisher() http.Handler {
	byCertificate := s.admit(func(w http.ResponseWriter, r *http.Request, edge string) {
		peer, _ := s.o.Authority.Peer(r.TLS)
		s.whip(w, r, publisher{edge: edge, certificate: peer.Serial})
	}, false)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := credential.FromRequest(r)
		if _, has := s.o.Authority.Peer(r.TLS); has || text == "" || s.o.Credentials == nil {
			byCertificate.ServeHTTP(w, r)
			return
		}
		check := s.o.Credentials.Begin
		if r.PathValue("id") != "" {
			check = s.o.Credentials.Continue
		}
		c, err := check(text, credential.Publish)
		if err != nil {
			s.denied.Add(1)
			problem.Write(w, http.StatusUnauthorized, "")
			return
		}
		switch err := s.o.Edges.CheckCertificate(r.Context(), c.Edge, c.Certificate); {
		case errors.Is(err, db.ErrNotFound):
			s.denied.Add(1)
			problem.Write(w, http.StatusForbidden, "")
		case err != nil:
			s.fail(w, r, "checking a certificate", err)
		default:
			s.whip(w, r, publisher{edge: c.Edge, certificate: c.Certificate, claims: c})
		}
	})
}

func (s *Server) whip(w http.ResponseWriter, r *http.Request, p publisher) {
	edge, device, id := r.PathValue("edge"), r.PathValue("device"), r.PathValue("id")
	if !p.may(edge, device, nil) {
		s.denied.Add(1)
		problem.Write(w, http.StatusForbidden, "")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxOffer)
	if id != "" {
		s.o.Media.ServeWHIPSession(w, r, edge, device, id)
		return
	}
	stream := r.URL.Query().Get("stream")
	if stream != "" && stream != api.StreamSub {
		problem.New("input_invalid", "field", "stream").Write(w)
		return
	}
	if !p.may(edge, device, &stream) {
		s.denied.Add(1)
		problem.Write(w, http.StatusForbidden, "")
		return
	}
	d, err := s.o.Edges.Device(r.Context(), scope.All(), edge, device)
	switch {
	case errors.Is(err, db.ErrNotFound) || err == nil && d.Kind != devices.Camera: // it bounds the relay's paths
		problem.New("video_camera_unknown").Write(w)
		return
	case err != nil:
		s.fail(w, r, "finding a camera", err)
		return
	}
	held, release, err := s.o.Access.Hold(context.WithoutCancel(r.Context()), access.OfEdge(edge, p.certificate, access.Publication))
	if err != nil {
		s.refuse(w, r, "holding the access of a publication", err)
		return
	}
	s.o.Media.ServeWHIP(w, r, Publication{Edge: edge, Device: device, Stream: stream, Access: held, Release: release})
}
