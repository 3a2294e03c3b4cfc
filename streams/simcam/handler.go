package simcam

import (
	"strings"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"
)

// handler answers the requests of viewers. gortsplib calls those of its methods that it knows by name.
type handler struct{ s *Server }

func (h *handler) find(conn *gortsplib.ServerConn, req *base.Request, path string) (*base.Response, *gortsplib.ServerStream, error) {
	if h.s.o.User != "" && !conn.VerifyCredentials(req, h.s.o.User, h.s.o.Password) {
		return &base.Response{StatusCode: base.StatusUnauthorized}, nil, liberrors.ErrServerAuth{}
	}
	if c, ok := h.s.cameras[strings.Trim(path, "/")]; ok {
		if stream := c.current(); stream != nil {
			return &base.Response{StatusCode: base.StatusOK}, stream, nil
		}
	}
	return &base.Response{StatusCode: base.StatusNotFound}, nil, nil
}

// OnDescribe answers DESCRIBE (RFC 2326, section 10.2).
func (h *handler) OnDescribe(ctx *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return h.find(ctx.Conn, ctx.Request, ctx.Path)
}

// OnSetup answers SETUP (RFC 2326, section 10.4).
func (h *handler) OnSetup(ctx *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return h.find(ctx.Conn, ctx.Request, ctx.Path)
}

// OnPlay answers PLAY (RFC 2326, section 10.5).
func (h *handler) OnPlay(ctx *gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	h.s.o.Logger.Debug("simulated camera has a viewer", "path", ctx.Path, "viewer", ctx.Conn.NetConn().RemoteAddr().String())
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// OnStreamWriteError is called when a viewer is too slow and gortsplib has dropped packets for it.
func (h *handler) OnStreamWriteError(ctx *gortsplib.ServerHandlerOnStreamWriteErrorCtx) {
	h.s.o.Logger.Debug("simulated camera dropped packets of a slow viewer", "error", ctx.Error)
}

// OnPacketsLost is called for lost packets of a viewer, which sends nothing of interest.
func (h *handler) OnPacketsLost(*gortsplib.ServerHandlerOnPacketsLostCtx) {}

// OnDecodeError is called for a packet of a viewer that cannot be parsed.
func (h *handler) OnDecodeError(ctx *gortsplib.ServerHandlerOnDecodeErrorCtx) {
	h.s.o.Logger.Debug("simulated camera received a packet that cannot be parsed", "error", ctx.Error)
}
