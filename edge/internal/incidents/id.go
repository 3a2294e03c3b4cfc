package incidents

import (
	"time"

	"github.com/google/uuid"
)

// NewID returns a new ID for an incident.
func NewID() string {
	// Version 7: IDs sort by the time of their making, and no two edges make the same (RFC 9562).
	id, err := uuid.NewV7()
	if err != nil { // no randomness: an incident with another kind of ID is better than none
		return uuid.NewSHA1(uuid.NameSpaceOID, []byte(time.Now().String())).String()
	}
	return id.String()
}
