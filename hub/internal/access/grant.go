package access

import (
	"time"

	"gridpost/hub/internal/auth"
)

// Use is what a grant is for. Limits count each use by itself.
type Use string

// The uses.
const (
	Stream      Use = "stream"      // a live stream of changes
	View        Use = "view"        // a viewer of a camera
	Publication Use = "publication" // a publisher of a camera's video
	Commands    Use = "commands"    // an edge's stream of commands
)

// Grant is what a stream, a view or a publication stands on. Empty fields are not watched.
type Grant struct {
	Use         Use
	Principal   string      // auth.Principal.Key, or "edge:" and the name of an edge
	Session     string      // auth.Principal.SessionKey
	Edge        string      // the edge must not be revoked, and its site must be in the principal's scope
	Certificate string      // serial number of the certificate with which the edge has connected
	Site        string      // must be in the principal's scope
	Incident    string      // must not be closed
	Lease       string      // must not have ended; one that is not stored yet has not
	Need        auth.Role   // the least role
	Until       time.Time   // when the access ends by itself
	As          *Appearance // the grant also ends when the principal has another name, role or scope
}

// Appearance is what others see of a principal, and what it sees.
type Appearance struct {
	Name  string
	Role  auth.Role
	Scope string
}

// Of returns the grant of a principal for a use that needs a role.
func Of(p auth.Principal, use Use, need auth.Role) Grant {
	return Grant{Use: use, Principal: p.Key(), Session: p.SessionKey(), Need: need, Until: p.Expires}
}

// appearance returns the appearance of a principal.
func appearance(p auth.Principal) *Appearance {
	return &Appearance{Name: p.Name, Role: p.Role, Scope: p.Scope.String()}
}

// Unchanged returns the grant, which also ends when the principal has another name, role or scope than p.
func (g Grant) Unchanged(p auth.Principal) Grant {
	g.As = appearance(p)
	return g
}

// OfEdge returns the grant of an edge that has connected with a certificate.
func OfEdge(edge, certificate string, use Use) Grant {
	return Grant{Use: use, Principal: EdgePrincipal(edge), Edge: edge, Certificate: certificate}
}

// EdgePrincipal returns the Principal of an edge.
func EdgePrincipal(edge string) string { return edgePrincipal + edge }

// Prefixes of principals.
const (
	userPrincipal  = "user:"
	tokenPrincipal = "token:"
	edgePrincipal  = "edge:"
)
