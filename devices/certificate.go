package devices

import (
	"crypto/x509"
	"errors"
)

// CertificateCause returns why a certificate is not trusted, and whether err says that at all.
func CertificateCause(err error) (Cause, bool) {
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return NewCause("certificate_authority_unknown"), true
	case errors.As(err, new(x509.HostnameError)):
		return NewCause("certificate_name"), true
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return NewCause("certificate_time"), true
	case errors.As(err, &invalid) && invalid.Reason == x509.NameMismatch:
		return NewCause("certificate_name"), true
	}
	return Cause{}, false
}
