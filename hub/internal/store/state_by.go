package store

import (
	"errors"
)

// stateByQuery finds who made an incident's state what it is: the last who closed it, or who
// acknowledged or assigned it. Its arguments are the incident and its state.
const stateByQuery = `SELECT who FROM timeline WHERE incident = ?1 AND
	((?2 = 'closed' AND kind = 'closed') OR (?2 = 'acknowledged' AND kind IN ('acknowledged', 'assigned', 'reopened')))
	ORDER BY id DESC LIMIT 1`

// scanStateBy reads who it is; nobody while the incident is open.
func scanStateBy(scan func(...any) error) (string, error) {
	var who string
	err := scan(&who)
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	return who, err
}
