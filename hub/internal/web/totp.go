package web

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// totpPath is the path of the caller's own second factor.
const totpPath = "/api/v1/session/totp"

type totpOutput struct {
	Body struct {
		Available bool       `json:"available" doc:"the user has a password at this hub; tokens and users of the identity provider only do not"`
		On        *time.Time `json:"on_at" doc:"since when a log-in needs a code; null: it does not"`
		Recovery  int        `json:"recovery_codes" doc:"that are left"`
	}
}

type beginTOTPInput struct {
	Body struct {
		Password string `json:"password" maxLength:"1024"`
	}
}

type beginTOTPOutput struct {
	Body struct {
		Secret string `json:"secret" doc:"base32, to be typed into the authenticator app"`
		URI    string `json:"uri" doc:"otpauth://, for a QR code; it has the secret"`
	}
}

type enableTOTPInput struct {
	Body struct {
		Code string `json:"code" maxLength:"64" doc:"of the authenticator app"`
	}
}

type enableTOTPOutput struct {
	Body struct {
		Recovery []string `json:"recovery_codes" doc:"each replaces a code once; they are shown once"`
	}
}

type disableTOTPInput struct {
	Body struct {
		Password string `json:"password" maxLength:"1024"`
		Code     string `json:"code" maxLength:"64" doc:"of the authenticator app, or a recovery code"`
	}
}

// registerTOTP adds the operations of the caller's own second factor.
func (s *Server) registerTOTP() {
	tags := []string{"session"}
	register(s, huma.Operation{
		OperationID: "get-totp", Tags: tags, Summary: "One's own second factor",
	}, func(ctx context.Context, _ *struct{}) (*totpOutput, error) {
		state, err := s.o.Auth.TOTP(ctx, who(ctx))
		if err != nil {
			return nil, err
		}
		out := &totpOutput{}
		out.Body.Available, out.Body.On, out.Body.Recovery = state.Available, state.On, state.Recovery
		return out, nil
	})
	register(s, huma.Operation{
		OperationID: "begin-totp", Tags: tags, Summary: "Make a secret for one's own second factor (TOTP, RFC 6238); it is off until a code confirms it",
		Errors: []int{http.StatusConflict, http.StatusTooManyRequests},
	}, func(ctx context.Context, in *beginTOTPInput) (*beginTOTPOutput, error) {
		made, err := s.o.Auth.BeginTOTP(ctx, who(ctx), in.Body.Password, remoteFrom(ctx).address)
		if err != nil {
			return nil, passwordWrong(err)
		}
		out := &beginTOTPOutput{}
		out.Body.Secret, out.Body.URI = made.Secret, made.URI
		return out, nil
	})
	register(s, huma.Operation{
		OperationID: "enable-totp", Tags: tags, Summary: "Turn one's own second factor on by its first code, and end one's other sessions",
		Errors: []int{http.StatusConflict, http.StatusTooManyRequests},
	}, func(ctx context.Context, in *enableTOTPInput) (*enableTOTPOutput, error) {
		codes, err := s.o.Auth.EnableTOTP(ctx, who(ctx), in.Body.Code, remoteFrom(ctx).address)
		if err != nil {
			return nil, err
		}
		out := &enableTOTPOutput{}
		out.Body.Recovery = codes
		return out, nil
	})
	register(s, huma.Operation{
		OperationID: "disable-totp", Tags: tags, Summary: "Turn one's own second factor off, by the password and a code; 403 if one of them is wrong",
		DefaultStatus: http.StatusNoContent, Errors: []int{http.StatusConflict, http.StatusTooManyRequests},
	}, func(ctx context.Context, in *disableTOTPInput) (*struct{}, error) {
		return nil, passwordWrong(s.o.Auth.DisableTOTP(ctx, who(ctx), in.Body.Password, in.Body.Code, remoteFrom(ctx).address))
	})
}
